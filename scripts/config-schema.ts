// Writes configs/schema.json from the schema that validates configs.
import { writeFileSync } from "node:fs";
import { configJsonSchema } from "../src/config/schema.ts";

writeFileSync("configs/schema.json", `${JSON.stringify(configJsonSchema(), null, 2)}\n`);
