// Measures datagen beside the floors under it, and beside what would be used in its place. `npm run bench` measures all,
// `npm run bench -- calls` one group of GROUPS, and `npm run bench:quick` the first group with fewer calls.
// docs/performance.md tells how to read what it prints.
import { cpus, totalmem } from "node:os";
import { measureCalls } from "./calls.ts";
import { Server } from "./lab.ts";
import { measureScale } from "./scale.ts";
import { measureStart } from "./start.ts";
import { isReached, type Row, table } from "./table.ts";

const FULL = { inputs: { few: 50, many: 500 }, rounds: 3, rivalInputs: { few: 50, many: 500 } };
const QUICK = { inputs: { few: 20, many: 100 }, rounds: 2, rivalInputs: { few: 5, many: 50 } };

const GROUPS: Record<string, (server: Server) => Promise<Row[]>> = {
  quick: (server) => measureCalls(server, QUICK),
  calls: (server) => measureCalls(server, FULL),
  start: measureStart,
  scale: measureScale,
};

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !(name in GROUPS));
if (unknown.length > 0) {
  process.stderr.write(`There is no group ${unknown.join(", ")}; there are ${Object.keys(GROUPS).join(", ")}.\n`);
  process.exit(2);
}

const [cpu] = cpus();
process.stdout.write(
  `${new Date().toISOString().slice(0, 10)}, Node ${process.versions.node} on ${process.platform} ${process.arch}, ` +
    `${cpus().length} × ${cpu?.model}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB\n\n`,
);
using server = await Server.start();
const rows: Row[] = [];
for (const name of asked.length > 0 ? asked : ["calls", "start", "scale"]) {
  rows.push(...((await GROUPS[name]?.(server)) ?? []));
}
process.stdout.write(`${table(rows)}\n`);
if (!rows.every(isReached)) process.exitCode = 1;
