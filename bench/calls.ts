import { statSync } from "node:fs";
import { join } from "node:path";
import Database from "better-sqlite3";
import { DATAGEN, Folder, median, run, type Server } from "./lab.ts";
import { callsPerSecond, cpuPerCall, expected, type Inputs, measured, type Measured } from "./measured.ts";
import { measureRival } from "./rival.ts";
import { megabytes, milliseconds, type Row, seconds } from "./table.ts";
import { CONCURRENCY, PERSPECTIVES, SLOW, writeWorkload } from "./workload.ts";

export interface Sizes {
  /** The inputs of calls with latency. */
  inputs: Inputs;
  /** The number of inputs of calls without latency. */
  fastInputs: number;
  rounds: number;
  rivalInputs: Inputs;
}

interface MeasuredRun extends Measured {
  startMs: { estimated: number; first: number };
  /** The database's bytes, and those of the inputs and responses in it. */
  bytes: { database: number; texts: number };
}

/** Measures calls to a server: their time, their CPU time, and the size of the database. */
export async function measureCalls(server: Server, { inputs, fastInputs, rounds, rivalInputs }: Sizes): Promise<Row[]> {
  const wall: { datagen: number; floor: number }[] = [];
  const cpu: { datagen: number; sdk: number }[] = [];
  const rate: { datagen: number; sdk: number }[] = [];
  const starts: { few: MeasuredRun["startMs"]; many: MeasuredRun["startMs"] }[] = [];
  let bytes = { database: 0, texts: 0 };
  for (let round = 0; round < rounds; round += 1) {
    const few = await datagen(server, inputs.few, SLOW);
    const sdkFew = await floor(server, "openai", inputs.few, SLOW);
    const many = await datagen(server, inputs.many, SLOW);
    const undici = await floor(server, "undici", inputs.many, SLOW);
    const sdkMany = await floor(server, "openai", inputs.many, SLOW);
    wall.push({ datagen: many.spanMs, floor: undici.spanMs });
    cpu.push({ datagen: cpuPerCall(few, many), sdk: cpuPerCall(sdkFew, sdkMany) });
    starts.push({ few: few.startMs, many: many.startMs });
    const fast = { ...SLOW, latencyMs: 0 };
    const fastOurs = await datagen(server, fastInputs, fast);
    const fastSdk = await floor(server, "openai", fastInputs, fast);
    bytes = fastOurs.bytes;
    rate.push({ datagen: callsPerSecond(fastOurs), sdk: callsPerSecond(fastSdk) });
  }
  const middle = <T>(list: readonly T[], value: (row: T) => number) => median(list.map(value));
  const ours = {
    callsPerSecond: (inputs.many * PERSPECTIVES * 1_000) / middle(wall, (row) => row.datagen),
    cpuPerCall: middle(cpu, (row) => row.datagen),
  };
  const rival = await measureRival(server, rivalInputs, ours);
  const callsOf = (count: number) => (count * PERSPECTIVES).toLocaleString("en");
  return [
    {
      what: `${callsOf(inputs.many)} calls, ${SLOW.latencyMs} ms latency, ${CONCURRENCY} in flight: time`,
      datagen: seconds(middle(wall, (row) => row.datagen)),
      other: `undici.request, storing nothing: ${seconds(middle(wall, (row) => row.floor))}`,
      ratio: { value: middle(wall, (row) => row.datagen / row.floor), atMost: 1.08 },
    },
    {
      what: "the same: CPU time per call",
      datagen: milliseconds(middle(cpu, (row) => row.datagen)),
      other: `openai SDK with p-limit, storing nothing: ${milliseconds(middle(cpu, (row) => row.sdk))}`,
      ratio: { value: middle(cpu, (row) => row.datagen / row.sdk), atMost: 0.75 },
    },
    ...rival,
    {
      what: `${callsOf(fastInputs)} calls, no latency: calls per second`,
      datagen: Math.round(middle(rate, (row) => row.datagen)).toLocaleString("en"),
      other: `openai SDK with p-limit, storing nothing: ${Math.round(middle(rate, (row) => row.sdk)).toLocaleString("en")}`,
      ratio: { value: middle(rate, (row) => row.datagen / row.sdk), atLeast: 1.3 },
    },
    {
      what: `database with ${callsOf(fastInputs)} responses of ${SLOW.answerBytes.toLocaleString("en")} bytes`,
      datagen: megabytes(bytes.database),
      other: `distinct inputs and responses: ${megabytes(bytes.texts)}`,
      ratio: { value: bytes.database / bytes.texts, atMost: 1.25 },
    },
    {
      what: `from the start to the first request: ${callsOf(inputs.few)} and ${callsOf(inputs.many)} calls`,
      datagen: (["few", "many"] as const).map((which) => seconds(middle(starts, (row) => row[which].first))).join(", "),
      other: `of that, until the estimate is shown: ${(["few", "many"] as const)
        .map((which) => seconds(middle(starts, (row) => row[which].estimated)))
        .join(", ")}`,
      ratio: null,
    },
  ];
}

async function datagen(
  server: Server,
  inputs: number,
  behaviour: Parameters<Server["behave"]>[0],
): Promise<MeasuredRun> {
  using folder = new Folder();
  writeWorkload({ config: folder.at("config.json"), data: folder.at("inputs.jsonl") }, inputs);
  await server.behave(behaviour);
  const done = await run([DATAGEN, "run", "config.json", "--json", "--no-export", "--db", "runs.db"], {
    cwd: folder.path,
    env: { OPENAI_BASE_URL: server.url, OPENAI_API_KEY: "none" },
    withUsage: true,
    waitFor: "Estimate:",
  });
  const { requests, firstAt } = await server.seen();
  const { finished_at: finishedAt } = (JSON.parse(done.stdout) as { run: { finished_at: string } }).run;
  return {
    spanMs: Date.parse(finishedAt) - firstAt,
    cpuMs: done.cpuMs,
    calls: expected(requests, inputs),
    startMs: { estimated: (done.saidAt ?? Number.NaN) - done.startedAt, first: firstAt - done.startedAt },
    bytes: bytesOf(folder.at("runs.db")),
  };
}

async function floor(
  server: Server,
  script: "undici" | "openai",
  inputs: number,
  behaviour: Parameters<Server["behave"]>[0],
): Promise<Measured> {
  using folder = new Folder();
  await server.behave(behaviour);
  const path = join(import.meta.dirname, "floors", `${script}.ts`);
  const done = await run([path, server.url, String(inputs), String(CONCURRENCY)], {
    cwd: folder.path,
    withUsage: true,
  });
  return await measured(server, done, inputs);
}

function bytesOf(path: string): MeasuredRun["bytes"] {
  const db = new Database(path, { readonly: true });
  const sum = (table: string) =>
    db.prepare<[], number>(`select sum(octet_length(text)) from (select distinct text from ${table})`).pluck().get() ??
    0;
  const texts = sum("texts") + sum("answers");
  db.close();
  return { database: statSync(path).size, texts };
}
