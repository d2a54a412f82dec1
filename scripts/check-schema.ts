// Fails if src/store/schema.ts has changed without a new migration. Leaves the work tree unchanged.
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";

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
