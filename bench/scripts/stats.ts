// Computes parts of the figures of the newest run with the library, or exports it as JSON Lines, and prints the CPU time.
import type * as datagen from "../../src/index.ts";

const { exportRun, openStore, runStatistics }: typeof datagen = await import(
  new URL("../../dist/index.js", import.meta.url).href
);

const [database = "", work = "", output = ""] = process.argv.slice(2);
using store = openStore(database);
const before = process.cpuUsage();
if (work === "export") await exportRun(store, "latest", { format: "jsonl", output, allowPartial: true });
else await runStatistics(store, "latest", { parts: work === "" ? [] : (work.split(",") as datagen.StatisticsPart[]) });
const { user, system } = process.cpuUsage(before);
process.stdout.write(JSON.stringify({ ms: (user + system) / 1_000 }));
