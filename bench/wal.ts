import { spawn } from "node:child_process";
import { once } from "node:events";
import { statSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import Database from "better-sqlite3";
import { DATAGEN, Folder, type Server } from "./lab.ts";
import type { Row } from "./table.ts";
import { PERSPECTIVES, SLOW, writeWorkload } from "./workload.ts";

const INPUTS = 20;
/** These give 40 calls a second, as with a busy provider. */
const PACE = { inFlight: 8, latencyMs: 200 };
const MOST_BYTES = 40_000;

/** How the write-ahead log grows while another program holds a snapshot, which prevents checkpoints. */
export async function measureLog(server: Server): Promise<Row[]> {
  using folder = new Folder();
  writeWorkload({ config: folder.at("config.json"), data: folder.at("inputs.jsonl") }, INPUTS);
  await server.behave({ ...SLOW, latencyMs: PACE.latencyMs });
  const args = ["run", "config.json", "--no-export", "--db", "runs.db", "--concurrency", String(PACE.inFlight)];
  const child = spawn(process.execPath, [DATAGEN, ...args], {
    cwd: folder.path,
    env: { PATH: process.env["PATH"], HOME: folder.path, OPENAI_BASE_URL: server.url, OPENAI_API_KEY: "none" },
    stdio: "ignore",
  });
  const ended = once(child, "close");
  while ((await server.seen()).requests < PERSPECTIVES) await sleep(10);
  const reader = new Database(folder.at("runs.db"), { readonly: true });
  reader.exec("begin");
  reader.prepare("select count(*) from runs").get();
  const size = () => statSync(folder.at("runs.db-wal")).size;
  const [before, { requests }] = [size(), await server.seen()];
  await ended;
  const calls = (await server.seen()).requests - requests;
  const bytes = (size() - before) / calls;
  reader.close();
  return [
    {
      what: `the log's growth under a reader, at ${(PACE.inFlight * 1_000) / PACE.latencyMs} calls a second: bytes a call`,
      datagen: `${(bytes / 1_000).toFixed(1)} kB`,
      other: `${MOST_BYTES / 1_000} kB`,
      ratio: { value: bytes / MOST_BYTES, atMost: 1 },
    },
  ];
}
