// Fails if src/store/schema.ts or the views have changed without a new migration. Leaves the work tree unchanged.
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { cpSync, globSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { CREATE_VIEWS } from "../src/store/views.ts";

const scratch = mkdtempSync("node_modules/.schema-");
try {
  cpSync("migrations", scratch, { recursive: true });
  const drizzleKit = ["node_modules/drizzle-kit/bin.cjs", "generate", "--dialect", "sqlite"];
  const args = [...drizzleKit, "--schema", "src/store/schema.ts", "--out", scratch];
  execFileSync(process.execPath, args, { stdio: ["ignore", "ignore", "inherit"] });
  const [before, after] = ["migrations", scratch].map((folder) => readdirSync(folder).toSorted().join());
  if (before !== after) {
    process.stderr.write("src/store/schema.ts has changed: run `npx drizzle-kit generate --name WHAT_CHANGED`.\n");
    process.exitCode = 1;
  }
} finally {
  rmSync(join(scratch), { recursive: true, force: true });
}

// Views are made again after a migration. The last migration that names their hash is the one that brought them.
const hash = createHash("sha256").update(CREATE_VIEWS).digest("hex").slice(0, 16);
const brought = globSync("migrations/*.sql")
  .toSorted()
  .flatMap((path) => [...readFileSync(path, "utf8").matchAll(/^-- views (\w+)$/gm)])
  .at(-1)?.[1];
if (brought !== hash) {
  process.stderr.write(
    `src/store/views.ts has changed: run \`npx drizzle-kit generate --custom --name views\`, and write "-- views ${hash}" there.\n`,
  );
  process.exitCode = 1;
}
