// Writes configs/schema.json from the schema that validates configs; with --check, fails if the file differs.
import { readFileSync, writeFileSync } from "node:fs";
import { configJsonSchema } from "../src/config/schema.ts";

const PATH = "configs/schema.json";
const schema = `${JSON.stringify(configJsonSchema(), null, 2)}\n`;
if (!process.argv.includes("--check")) {
  writeFileSync(PATH, schema);
} else if (readFileSync(PATH, "utf8") !== schema) {
  process.stderr.write(`${PATH} does not match src/config/schema.ts: run \`npm run config-schema\`.\n`);
  process.exitCode = 1;
}
