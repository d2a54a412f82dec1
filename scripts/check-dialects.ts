// Fails where a file of src/store/ has both queries of Drizzle and prepared SQL.
import { globSync, readFileSync } from "node:fs";

/** The file that gives both to the others. */
const BOTH = "src/store/file/store.ts";

const mixed = globSync("src/store/**/*.ts")
  .filter((path) => path !== BOTH)
  .filter((path) => {
    const text = readFileSync(path, "utf8");
    return /\bfrom "drizzle-orm/.test(text) && /\bsqlite\s*\.(?:prepare|exec)\b/.test(text);
  });
for (const path of mixed) {
  process.stderr.write(
    `${path} has both queries of Drizzle and prepared SQL: move one of them to a file of its own.\n`,
  );
  process.exitCode = 1;
}
