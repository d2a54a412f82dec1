// Writes configs/schema.json from the schema that validates configs; with --check, fails where the file is another.
import { readFileSync, writeFileSync } from "node:fs";
import { configJsonSchema } from "../src/config/schema.ts";

const PATH = "configs/schema.json";
const schema = `${JSON.stringify(configJsonSchema(), null, 2)}\n`;
if (!process.argv.includes("--check")) {
  writeFileSync(PATH, schema);
} else if (readFileSync(PATH, "utf8") !== schema) {
  process.stderr.write(`${PATH} is not what src/config/schema.ts says: run \`npm run config-schema\`.\n`);
  process.exitCode = 1;
}
