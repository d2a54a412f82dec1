import { DATAGEN, Folder, median, run, type Server } from "./lab.ts";
import { type Row, seconds } from "./table.ts";
import { CONCURRENCY, PERSPECTIVES, SLOW, writeWorkload } from "./workload.ts";

/** A latency that models have. */
const BEHAVIOUR = { ...SLOW, latencyMs: 500 };
const INPUTS = 50;
const ROUNDS = 3;
const MODELS = ["gpt-4o-mini", "gpt-4.1-mini", "gpt-4.1-nano"];

/** Measures three models side by side, and one of them alone. Each has its own requests in flight, and no limit of a rate. */
export async function measureExperiment(server: Server): Promise<Row[]> {
  const rounds: { alone: number; together: number }[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const alone = await timeOf(server, MODELS.slice(0, 1));
    rounds.push({ alone, together: await timeOf(server, MODELS) });
  }
  const calls = (INPUTS * PERSPECTIVES).toLocaleString("en");
  return [
    {
      what: `3 models side by side, ${calls} calls each, ${BEHAVIOUR.latencyMs} ms latency, ${CONCURRENCY} in flight each: time`,
      datagen: seconds(median(rounds.map(({ together }) => together))),
      other: `one of them alone: ${seconds(median(rounds.map(({ alone }) => alone)))}`,
      ratio: { value: median(rounds.map(({ alone, together }) => together / alone)), atMost: 1.1 },
    },
  ];
}

/** From the first request that the server sees to the last commit, in milliseconds. */
async function timeOf(server: Server, models: readonly string[]): Promise<number> {
  using folder = new Folder();
  writeWorkload({ config: folder.at("config.json"), data: folder.at("inputs.jsonl") }, INPUTS);
  await server.behave(BEHAVIOUR);
  const flags = models.flatMap((model) => ["--model", model]);
  const { stdout } = await run([DATAGEN, "run", "config.json", ...flags, "--json", "--no-export", "--db", "runs.db"], {
    cwd: folder.path,
    env: { OPENAI_BASE_URL: server.url, OPENAI_API_KEY: "none" },
  });
  const { requests, firstAt } = await server.seen();
  const expected = INPUTS * PERSPECTIVES * models.length;
  if (requests !== expected) throw new Error(`${requests} requests came in the place of ${expected}`);
  const told = JSON.parse(stdout) as { run: Finished } | { runs: { run: Finished }[] };
  const runs = "runs" in told ? told.runs.map((one) => one.run) : [told.run];
  return Math.max(...runs.map(({ finished_at: at }) => Date.parse(at))) - firstAt;
}

interface Finished {
  finished_at: string;
}
