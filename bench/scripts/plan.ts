// Plans a run with the library, and prints the time for its rows, from the first to the last.
import type * as datagen from "../../src/index.ts";

// Use the built library, as users do: the bundle loads faster than the sources.
const { createRun, loadConfig, openStore }: typeof datagen = await import(
  new URL("../../dist/index.js", import.meta.url).href
);

const [config = "", database = "", sampleSize, url = ""] = process.argv.slice(2);
using store = openStore(database);
let createdAt = 0;
await createRun(store, await loadConfig(config), {
  reuse: "none",
  overrides: { sampleSize: Number(sampleSize) },
  environment: { OPENAI_API_KEY: "none", OPENAI_BASE_URL: url },
  onEvent: ({ type }) => {
    if (type === "created") createdAt = performance.now();
  },
});
process.stdout.write(JSON.stringify({ ms: performance.now() - createdAt }));
