import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { Redis } from "ioredis";
import { connectCoordinator, connectWorker } from "../src/queue/connect.ts";
import { resultsQueue } from "../src/queue/destination.ts";
import { newToken, newWorkerId } from "../src/queue/messages.ts";
import { parseQueueUrl } from "../src/queue/url.ts";
import { ENGINES, startEngine, type TestEngine } from "../test/support/engines.ts";
import { script } from "./databases.ts";
import { DATAGEN, Folder, median, run, type Server } from "./lab.ts";
import { callsPerSecond, cpuPerCall, expected, type Inputs, type Measured } from "./measured.ts";
import { milliseconds, type Row, seconds } from "./table.ts";
import { CONCURRENCY, inputs as textsOf, instructions, PERSPECTIVES, SLOW, writeWorkload } from "./workload.ts";

/** A latency that models have. */
const MODEL = { ...SLOW, latencyMs: 1_000 };
const FAST = { ...SLOW, latencyMs: 0 };
const WORKERS = 4;
const OF_EACH = 32;
/** Until then, the number in flight grows. */
const GROWING_MS = 15_000;
const MEASURED_MS = 30_000;
/** Workers that only say that they live. */
const CROWD = 100;
const LOOKS = 50;
const WAITING = 1_000;
/** How often to look at the memory. */
const SAMPLE_MS = 1_000;

interface QueueSizes {
  /** The inputs of calls with latency. */
  inputs: number;
  /** The inputs of calls without latency. */
  fastInputs: Inputs;
  rounds: number;
  /** The calls over which memory has to be flat. */
  memoryCalls: number;
}

/** Measures calls that workers send, from a queue on this machine. The engines are those of the tests. */
export async function measureQueue(server: Server, sizes: QueueSizes): Promise<Row[]> {
  const rows: Row[] = [];
  for (const name of ENGINES) {
    await using engine = await startEngine(name);
    if (name === "redis") rows.push(...(await latencyRows(server, engine, sizes)));
    rows.push(...(await rateRows(server, engine, sizes)));
    if (name === "redis") rows.push(...(await crowdRows(engine)));
    if (name === "redis") rows.push(...(await memoryRows(server, engine, sizes.memoryCalls)));
  }
  return rows;
}

/** With the latency of a model: one worker against the same without a queue, and several against their sum. */
async function latencyRows(
  server: Server,
  engine: TestEngine,
  { inputs, rounds }: Pick<QueueSizes, "inputs" | "rounds">,
): Promise<Row[]> {
  const times: { queue: number; live: number }[] = [];
  const rates: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const live = await timeOfLive(server, inputs);
    const { coordinator } = await queued(server, engine, { inputs, behaviour: MODEL, workers: [CONCURRENCY] });
    times.push({ live, queue: coordinator.spanMs });
    rates.push(await rateOfWorkers(server, engine));
  }
  const sum = (WORKERS * OF_EACH * 1_000) / MODEL.latencyMs;
  const latency = `${MODEL.latencyMs / 1_000} s latency`;
  return [
    {
      what: `queue on ${engine.name}: ${(inputs * PERSPECTIVES).toLocaleString("en")} calls, ${latency}, one worker with ${CONCURRENCY} in flight: time`,
      datagen: seconds(median(times.map(({ queue }) => queue))),
      other: `live, ${CONCURRENCY} in flight: ${seconds(median(times.map(({ live }) => live)))}`,
      ratio: { value: median(times.map(({ queue, live }) => queue / live)), atMost: 1.15 },
    },
    {
      what: `the same, ${WORKERS} workers with ${OF_EACH} each: calls per second`,
      datagen: median(rates).toFixed(1),
      other: `all they can have: ${sum}`,
      ratio: { value: median(rates) / sum, atLeast: 0.9 },
    },
  ];
}

/** Without latency: how many calls pass, and what each costs the processes. */
async function rateRows(
  server: Server,
  engine: TestEngine,
  { fastInputs: { few, many }, rounds }: Pick<QueueSizes, "fastInputs" | "rounds">,
): Promise<Row[]> {
  const found: Record<"rate" | "floorRate" | "cpu" | "floorCpu" | "workerCpu" | "engineCpu", number>[] = [];
  for (let round = 0; round < rounds; round += 1) {
    const of = (inputs: number) => queued(server, engine, { inputs, behaviour: FAST, workers: [CONCURRENCY] });
    const [short, engineBefore] = [await of(few), await cpuOf(engine)];
    const [long, engineAfter] = [await of(many), await cpuOf(engine)];
    const [floorShort, floorLong] = [await floor(engine, few), await floor(engine, many)];
    found.push({
      rate: callsPerSecond(long.coordinator),
      floorRate: callsPerSecond(floorLong),
      cpu: cpuPerCall(short.coordinator, long.coordinator),
      floorCpu: cpuPerCall(floorShort, floorLong),
      workerCpu: cpuPerCall(short.worker, long.worker),
      engineCpu: (engineAfter - engineBefore) / long.coordinator.calls,
    });
  }
  const of = (name: keyof (typeof found)[number]) => median(found.map((round) => round[name]));
  const whole = (value: number) => Math.round(value).toLocaleString("en");
  const alone = (what: string, ms: number): Row => ({ what, datagen: milliseconds(ms), other: "", ratio: null });
  return [
    {
      what: `queue on ${engine.name}: ${(many * PERSPECTIVES).toLocaleString("en")} calls, no latency, one worker: calls per second`,
      datagen: whole(of("rate")),
      other: `BullMQ there and back, without calls: ${whole(of("floorRate"))}`,
      ratio: { value: of("rate") / of("floorRate") },
    },
    {
      what: "the same: CPU time per call of the run's process",
      datagen: milliseconds(of("cpu")),
      other: `BullMQ there and back: ${milliseconds(of("floorCpu"))}`,
      ratio: { value: of("cpu") / of("floorCpu") },
    },
    alone("the same: CPU time per call of the worker", of("workerCpu")),
    ...(engine.name === "redis" ? [alone("the same: CPU time per call of Redis", of("engineCpu"))] : []),
  ];
}

/** What many workers cost a run that looks at them every second, and what jobs that wait cost Redis. */
async function crowdRows(engine: TestEngine): Promise<Row[]> {
  const url = parseQueueUrl(engine.url, "the bench");
  const [databaseId, runId] = [randomBytes(16).toString("hex"), "crowd"];
  const [provider, server] = ["openai", "crowd"] as const;
  const replyTo = resultsQueue(databaseId, runId);
  const coordinator = await connectCoordinator({ url, databaseId, runId, patienceMs: 10_000, onWarning: () => {} });
  const worker = await connectWorker(url, 1);
  const redis = new Redis(engine.url);
  const ids = Array.from({ length: CROWD }, newWorkerId);
  const [told, startedAt] = [{ version: "0", answered: 0, provider, servers: [server] }, Date.now()];
  for (const [beat, id] of ids.entries()) {
    const inFlight = Array.from({ length: OF_EACH }, () => newToken(replyTo));
    await worker.beat({ ...told, id, beat, host: `gpu${beat}`, concurrency: OF_EACH, inFlight, startedAt });
  }
  await coordinator.workers();
  const before = process.cpuUsage();
  for (let look = 0; look < LOOKS; look += 1) await coordinator.workers();
  const { user, system } = process.cpuUsage(before);
  const empty = numberIn(await redis.info("memory"), "used_memory");
  const [text, way] = [textsOf(1)[0] ?? "", instructions()[0] ?? ""];
  const messages = [{ role: "user" as const, content: `${way}\n\n${text}\n\n${way}` }];
  const question = { endpoint: "chat" as const, model: "gpt-4o-mini", messages, parameters: { max_tokens: 500 } };
  const sent = { replyTo, provider, server, question };
  for (let at = 0; at < WAITING; at += 1) {
    await coordinator.put({ ...sent, token: newToken(replyTo), timeoutMs: 60_000, maxAnswerBytes: 1_000_000 });
  }
  const full = numberIn(await redis.info("memory"), "used_memory");
  await redis.flushall();
  redis.disconnect();
  await worker.close(newWorkerId());
  await coordinator.close();
  return [
    {
      what: `the same: a look at ${CROWD} workers with ${OF_EACH} calls each, every second: CPU time of the run's process`,
      datagen: milliseconds((user + system) / 1_000 / LOOKS),
      other: "",
      ratio: null,
    },
    {
      what: `the same: a job that waits, with a prompt of ${messages[0]?.content.length} characters: memory of Redis`,
      datagen: `${((full - empty) / WAITING / 1_000).toFixed(1)} kB`,
      other: "",
      ratio: null,
    },
  ];
}

/** Whether the memory of Redis and of the run's process stays the same over many calls with short answers. */
async function memoryRows(server: Server, engine: TestEngine, calls: number): Promise<Row[]> {
  const samples: { requests: number; coordinator: number; used: number; resident: number }[] = [];
  const inputs = Math.ceil(calls / PERSPECTIVES);
  const redis = new Redis(engine.url);
  await queued(server, engine, {
    inputs,
    behaviour: { latencyMs: 0, answerBytes: 200 },
    workers: [CONCURRENCY],
    async beside({ pid = 0 }, isOver) {
      while (!isOver()) {
        const memory = await redis.info("memory");
        const { requests } = await server.seen();
        const [used, resident] = [numberIn(memory, "used_memory") / 1e6, numberIn(memory, "used_memory_rss") / 1e6];
        samples.push({ requests, coordinator: residentMb(pid), used, resident });
        await sleep(SAMPLE_MS);
      }
    },
  });
  redis.disconnect();
  const part = (of: "coordinator" | "used" | "resident", from: number, to: number) => {
    const share = ({ requests }: (typeof samples)[number]) => requests / (inputs * PERSPECTIVES);
    return median(samples.filter((one) => share(one) >= from && share(one) < to).map((one) => one[of]));
  };
  const row = (what: string, of: "coordinator" | "used" | "resident"): Row => {
    const [early, late] = [part(of, 0.2, 0.4), part(of, 0.8, 1)];
    return {
      what,
      datagen: `${late.toFixed(1)} MB`,
      other: `from 20 % to 40 % of them: ${early.toFixed(1)} MB`,
      ratio: { value: late / early, atMost: 1.3 },
    };
  };
  return [
    row(
      `memory over ${(inputs * PERSPECTIVES).toLocaleString("en")} calls, the last fifth: the run's process`,
      "coordinator",
    ),
    row("the same: what Redis has stored", "used"),
    row("the same: Redis with its own memory", "resident"),
  ];
}

interface Queued {
  inputs: number;
  behaviour: Parameters<Server["behave"]>[0];
  /** The requests that each worker may have in flight. */
  workers: readonly number[];
  /** Looks at the run while it goes on. */
  beside?: (coordinator: ChildProcess, isOver: () => boolean) => Promise<void>;
}

/** Runs the workload with workers. @returns what the run used, and what all workers used */
async function queued(
  server: Server,
  engine: TestEngine,
  { inputs, behaviour, workers: concurrencies, beside }: Queued,
): Promise<Record<"coordinator" | "worker", Measured>> {
  using folder = new Folder();
  writeWorkload({ config: folder.at("config.json"), data: folder.at("inputs.jsonl") }, inputs);
  await server.behave(behaviour);
  const workers = await Promise.all(
    concurrencies.map((concurrency, at) => startWorker(folder, server, engine, { name: `worker-${at}`, concurrency })),
  );
  const args = ["run", "config.json", "--queue", engine.url, "--json", "--no-export", "--db", "runs.db"];
  const env = { OPENAI_BASE_URL: server.url, OPENAI_API_KEY: "none" };
  const coordinator = start(folder, "run", [DATAGEN, ...args], env);
  let isOver = false;
  const looking = beside?.(coordinator.child, () => isOver);
  const done = await coordinator.done;
  isOver = true;
  await looking;
  const { requests, firstAt } = await server.seen();
  const { finished_at: finishedAt } = (JSON.parse(done.stdout) as { run: { finished_at: string } }).run;
  for (const { child } of workers) child.kill("SIGTERM");
  const ended = await Promise.all(workers.map((worker) => worker.done));
  const [calls, spanMs] = [inputs * PERSPECTIVES, Date.parse(finishedAt) - firstAt];
  // On a busy machine, a worker may seem lost for a moment: its calls are sent again.
  if (requests < calls) throw new Error(`the server saw ${requests} requests, and not ${calls}`);
  const workerCpuMs = ended.reduce((sum, { cpuMs }) => sum + cpuMs, 0);
  return { coordinator: { spanMs, cpuMs: done.cpuMs, calls }, worker: { spanMs, cpuMs: workerCpuMs, calls } };
}

/** The same without a queue. */
async function timeOfLive(server: Server, inputs: number): Promise<number> {
  using folder = new Folder();
  writeWorkload({ config: folder.at("config.json"), data: folder.at("inputs.jsonl") }, inputs);
  await server.behave(MODEL);
  const { stdout } = await run([DATAGEN, "run", "config.json", "--json", "--no-export", "--db", "runs.db"], {
    cwd: folder.path,
    env: { OPENAI_BASE_URL: server.url, OPENAI_API_KEY: "none" },
  });
  const { requests, firstAt } = await server.seen();
  expected(requests, inputs);
  return Date.parse((JSON.parse(stdout) as { run: { finished_at: string } }).run.finished_at) - firstAt;
}

/** The calls per second of several workers, once as many are in flight as they can have. */
async function rateOfWorkers(server: Server, engine: TestEngine): Promise<number> {
  const perSecond = (WORKERS * OF_EACH * 1_000) / MODEL.latencyMs;
  // Enough for the whole time.
  const inputs = Math.ceil((perSecond * (GROWING_MS + MEASURED_MS)) / 1_000 / PERSPECTIVES);
  let rate = Number.NaN;
  await queued(server, engine, {
    inputs,
    behaviour: MODEL,
    workers: Array.from({ length: WORKERS }, () => OF_EACH),
    async beside() {
      while ((await server.seen()).requests === 0) await sleep(50);
      await sleep(GROWING_MS);
      const [before, from] = [await server.seen(), performance.now()];
      await sleep(MEASURED_MS);
      const [after, to] = [await server.seen(), performance.now()];
      rate = ((after.requests - before.requests) * 1_000) / (to - from);
    },
  });
  return rate;
}

/** BullMQ there and back, with twice as many jobs in flight as the worker takes at a time, like datagen. */
async function floor(engine: TestEngine, inputs: number): Promise<Measured> {
  using folder = new Folder();
  const calls = inputs * PERSPECTIVES;
  const worker = start(folder, "floor", [script("floors/bullmq.ts"), "worker", engine.url, String(CONCURRENCY)]);
  await worker.said("ready");
  const args = ["coordinator", engine.url, String(2 * CONCURRENCY), String(calls)];
  const { stdout, cpuMs } = await run([script("floors/bullmq.ts"), ...args], { cwd: folder.path, withUsage: true });
  worker.child.kill("SIGTERM");
  await worker.done;
  return { spanMs: (JSON.parse(stdout) as { ms: number }).ms, cpuMs, calls };
}

async function startWorker(
  folder: Folder,
  server: Server,
  engine: TestEngine,
  { name, concurrency }: { name: string; concurrency: number },
): Promise<Started> {
  const args = ["worker", "--provider", "openai", "--base-url", server.url, "--concurrency", String(concurrency)];
  const env = { DATAGEN_QUEUE: engine.url, OPENAI_API_KEY: "none" };
  const worker = start(folder, name, [DATAGEN, ...args], env);
  await worker.said("Taking jobs from");
  return worker;
}

/** A process that goes on while others are measured. */
interface Started {
  child: ChildProcess;
  /** Resolves when its stderr has these words. */
  said(words: string): Promise<void>;
  /** Rejects when it fails. */
  done: Promise<{ stdout: string; cpuMs: number }>;
}

function start(folder: Folder, name: string, args: readonly string[], env: Record<string, string> = {}): Started {
  const usage = folder.at(`${name}.usage.json`);
  const child = spawn(process.execPath, ["--import", join(import.meta.dirname, "usage.js"), ...args], {
    cwd: folder.path,
    env: { PATH: process.env["PATH"], HOME: folder.path, NO_COLOR: "1", DATAGEN_BENCH_USAGE: usage, ...env },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let [stdout, stderr] = ["", ""];
  child.stdout.setEncoding("utf8").on("data", (text: string) => (stdout += text));
  child.stderr.setEncoding("utf8").on("data", (text: string) => (stderr = (stderr + text).slice(-10_000)));
  const ended = async () => {
    const [code] = (await once(child, "close")) as [number | null];
    if (code !== 0 || !existsSync(usage)) throw new Error(`${args.join(" ")} ended with ${code}\n${stderr}`);
    return { stdout, cpuMs: (JSON.parse(readFileSync(usage, "utf8")) as { cpuMs: number }).cpuMs };
  };
  const done = ended();
  return {
    child,
    done,
    async said(words) {
      while (!stderr.includes(words)) await Promise.race([once(child.stderr, "data"), done]);
    },
  };
}

/** The CPU time of Redis so far, in milliseconds; 0 of another engine, which has many processes. */
async function cpuOf(engine: TestEngine): Promise<number> {
  if (engine.name !== "redis") return 0;
  const redis = new Redis(engine.url);
  const cpu = await redis.info("cpu");
  redis.disconnect();
  return (numberIn(cpu, "used_cpu_user") + numberIn(cpu, "used_cpu_sys")) * 1_000;
}

/** A figure of what `INFO` says. */
function numberIn(info: string, name: string): number {
  return Number(new RegExp(`^${name}:([\\d.]+)`, "m").exec(info)?.[1]);
}

/** The resident memory of a process. */
function residentMb(pid: number): number {
  return Number(execFileSync("ps", ["-o", "rss=", "-p", String(pid)], { encoding: "utf8" })) / 1_024;
}
