// Measures datagen, the floors and the rival. `npm run bench` measures everything, `npm run bench -- calls` one group, and
// `npm run bench:quick` the calls and the inputs with fewer of them. docs/performance.md explains the output.
import { cpus, totalmem } from "node:os";
import { measureCalls } from "./calls.ts";
import { measureExperiment } from "./experiment.ts";
import { measureInputs } from "./inputs.ts";
import { Server } from "./lab.ts";
import { measureLog } from "./wal.ts";
import { measureScale } from "./scale.ts";
import { measureStart } from "./start.ts";
import { measureStats } from "./stats.ts";
import { profileCalls } from "./profile.ts";
import { measureQueue } from "./queue.ts";
import { type Row, table } from "./table.ts";
import { measureView } from "./view.ts";

const FULL = { inputs: { few: 50, many: 500 }, fastInputs: 500, rounds: 5, rivalInputs: { few: 50, many: 500 } };
const QUICK = { inputs: { few: 20, many: 100 }, fastInputs: 500, rounds: 2, rivalInputs: { few: 5, many: 50 } };
const INPUTS = { rows: 1_000_000, longRows: 1_000_000, rounds: 3 };
const FEW_INPUTS = { rows: 50_000, longRows: 20_000, rounds: 2 };

const QUEUE = { inputs: 64, fastInputs: { few: 50, many: 250 }, rounds: 3, memoryCalls: 200_000 };

const GROUPS: Record<string, (server: Server) => Promise<Row[]>> = {
  quick: async (server) => [...(await measureCalls(server, QUICK)), ...(await measureInputs(server, FEW_INPUTS))],
  calls: (server) => measureCalls(server, FULL),
  start: measureStart,
  log: measureLog,
  scale: measureScale,
  inputs: (server) => measureInputs(server, INPUTS),
  experiment: measureExperiment,
  view: measureView,
  stats: measureStats,
  queue: (server) => measureQueue(server, QUEUE),
};

/** This group prints its own table. */
const PROFILE = "profile";
const ALL = ["calls", "start", "log", "scale", "inputs", "experiment", "view", "stats", "queue", PROFILE];

const asked = process.argv.slice(2);
const unknown = asked.filter((name) => !(name in GROUPS) && name !== PROFILE);
if (unknown.length > 0) {
  const known = [...Object.keys(GROUPS), PROFILE].join(", ");
  process.stderr.write(`There is no group ${unknown.join(", ")}; there are ${known}.\n`);
  process.exit(2);
}
const names = asked.length > 0 ? asked : ALL;

const [cpu] = cpus();
process.stdout.write(
  `${new Date().toISOString().slice(0, 10)}, Node ${process.versions.node} on ${process.platform} ${process.arch}, ` +
    `${cpus().length} × ${cpu?.model}, ${(totalmem() / 2 ** 30).toFixed(0)} GiB\n`,
);
using server = await Server.start();
const rows: Row[] = [];
for (const name of names) rows.push(...((await GROUPS[name]?.(server)) ?? []));
if (rows.length > 0) process.stdout.write(`\n${table(rows)}\n`);
if (names.includes(PROFILE)) process.stdout.write(`\n${await profileCalls(server)}\n`);
