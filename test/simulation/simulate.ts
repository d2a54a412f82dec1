import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { awaitHolders } from "../../src/app/run/await-holders.ts";
import { createRun } from "../../src/app/run/create-run.ts";
import { work } from "../../src/app/run/execute-job.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { StoppedError } from "../../src/errors.ts";
import type { ExecutionEvent, Job } from "../../src/execute/executor.ts";
import type { Prices } from "../../src/models/cost.ts";
import { newToken } from "../../src/queue/messages.ts";
import { checkStore } from "../../src/store/check/check.ts";
import { hasOpenCalls } from "../../src/store/runs/calls.ts";
import { acquireLease, releaseLease } from "../../src/store/runs/leases.ts";
import type { Store } from "../../src/store/file/store.ts";
import { getSettings, settingsOfRun } from "../../src/store/runs/plan.ts";
import { findRun, getRun } from "../../src/store/runs/runs.ts";
import { BatchServer } from "./batch-server.ts";
import { QueueServer } from "./queue-server.ts";
import { Clock } from "./clock.ts";
import { checkCap, checkEnd, checkLost, createWatch, untouched } from "./invariants.ts";
import { inputText, instructionOf, Ledger } from "./ledger.ts";
import { liveProvider, type Simulated } from "./live-provider.ts";
import { type Disturbance, type Plan, planOf } from "./plan.ts";
import { type Random, randomOf } from "./random.ts";
import { World } from "./world.ts";

/** Nothing is sent there. It is known to take batches, and so is not asked whether it does. */
const BASE_URL = "https://api.openai.com/v1";
const RESULTS = "datagen-results-0000000000000000-run";
const MAX_TOKENS = 40;
const PRICES = { input: 3, output: 7, batch_factor: 0.5 };

/** More executions than any schedule needs: one that is not done by then goes round in circles. */
const MOST_EXECUTIONS = 60;

/**
 * Plays one schedule: a run that is planned, executed, disturbed and resumed until it is done.
 * @param template a database that is up to date and empty
 * @throws Error that says which invariant is broken, and what the schedule did until then
 */
export async function simulate(seed: number, template: string): Promise<void> {
  const random = randomOf(seed);
  const plan = planOf(random);
  using clock = new Clock();
  using world = new World(random, plan, template);
  const { random: jitter } = Math;
  Math.random = () => random.next();
  try {
    await play(random, plan, world, clock);
  } catch (error) {
    const story = world.log.map((line) => `  ${line}`).join("\n");
    throw new Error(`seed ${seed}: ${String(error)}\n${JSON.stringify(plan)}\n${story}`, { cause: error });
  } finally {
    Math.random = jitter;
  }
}

async function play(random: Random, plan: Plan, world: World, clock: Clock): Promise<void> {
  const ledger = new Ledger();
  const batches = new BatchServer(random, world, ledger, plan);
  const queues = new QueueServer(random, world, plan, MAX_TOKENS);
  const id = await planned(world, plan);
  for (let execution = 1; execution <= MOST_EXECUTIONS; execution += 1) {
    const end = await executed(id, { random, plan, world, clock, ledger, batches, queues, execution });
    world.log.push(`execution ${execution} ended: ${end}`);
    if (end === "done" || end === "capped") return;
  }
  throw new Error(`the run is not done after ${MOST_EXECUTIONS} executions`);
}

/** Plans the run. @returns its id */
async function planned(world: World, plan: Plan): Promise<string> {
  const inputs = join(world.folder, "inputs.json");
  writeFileSync(inputs, JSON.stringify(Array.from({ length: plan.inputs }, (_, at) => ({ input: inputText(at) }))));
  const config = parseConfig({
    task_type: "simulation",
    task_description: "a simulated task",
    model_config: { model_name: "simulated", max_tokens: MAX_TOKENS },
    agent_perspectives: plan.readings.map((hasReading, at) => ({
      condition: `perspective ${at}`,
      reading: hasReading ? instructionOf("reading", at) : null,
      strategy: instructionOf("strategy", at),
    })),
    data_config: { input_data_path: inputs, sample_size: plan.inputs },
    replicates: plan.replicates,
    executor: plan.executor,
    prices: PRICES,
    ...(plan.capUsd !== null && { max_cost_usd: plan.capUsd }),
  });
  const environment =
    plan.executor === "queue" ? { DATAGEN_QUEUE: "redis://127.0.0.1:9" } : { OPENAI_API_KEY: "sk-simulated" };
  const id = await createRun(world.open(), config, { overrides: { baseUrl: BASE_URL }, environment });
  world.close();
  return id;
}

interface Stage extends Omit<Simulated, "prices" | "watch"> {
  clock: Clock;
  batches: BatchServer;
  queues: QueueServer;
}

/** Executes the run as `datagen resume` does, until it is done, stops, or its process dies. */
async function executed(id: string, stage: Stage): Promise<"done" | "capped" | "stopped" | "drained" | "dead"> {
  const { world, clock, ledger, plan, execution } = stage;
  const store = world.open();
  const runId = findRun(store, id);
  const waiting = awaitHolders(store, { runIds: [runId], onEvent: () => {} });
  await clock.drive(waiting, () => false);
  await waiting;
  const lease = acquireLease(store, runId, id);
  const drain = new AbortController();
  let lost: string | null = null;
  world.onDrain = () => drain.abort();
  world.onTakeOver = () => {
    lost = untouched(store);
  };
  const job = jobOf(store, runId, lease, drain.signal, stage);
  let stop: unknown;
  const working = work(job).catch((error: unknown) => {
    stop = error;
  });
  await clock.drive(working, () => world.isDead);
  clock.forget();
  // Workers go on.
  if (plan.executor !== "queue") ledger.abandon();
  if (world.isDead) {
    const isKept = !isOneOf(world.disturbedBy, "power_loss", "lease_lost", "disk_full") && !isForgotten(stage);
    const left = world.open();
    checkStored(left);
    if (isKept) checkLost(left, ledger, execution, performance.now());
    world.close();
    return "dead";
  }
  if (lost !== null && untouched(store) !== lost) throw new Error("a process that had lost the run went on storing");
  checkStored(store);
  const isOpen = hasOpenCalls(store, runId);
  if (!isOpen) checkEnd(store, runId, ledger, plan);
  checkCap(ledger, world.hasLostPower ? null : getRun(store, runId).maxCostNanoUsd);
  if (!isOneOf(world.disturbedBy, "lease_lost", "disk_full") && !isForgotten(stage))
    checkLost(store, ledger, execution, Infinity);
  releaseLease(store, lease);
  world.close();
  if (stop !== undefined && !(stop instanceof StoppedError)) throw stop;
  if (!isOpen) return "done";
  if (stop === undefined) {
    if (!drain.signal.aborted) throw new Error("the run ended with calls that are open");
    return "drained";
  }
  world.log.push(String(stop));
  return /the cap of/.test(String(stop)) ? "capped" : "stopped";
}

/** Whether the run has lost, with power, the tokens of jobs that are in the queue. It does not know their results. */
function isForgotten({ plan, world }: Stage): boolean {
  return plan.executor === "queue" && world.hasLostPower;
}

/** Whether any of these has happened, after which answers that came may be lost. */
function isOneOf(happened: ReadonlySet<Disturbance>, ...kinds: Disturbance[]): boolean {
  return kinds.some((kind) => happened.has(kind));
}

function jobOf(
  store: Store,
  runId: number,
  lease: Job["lease"],
  drain: AbortSignal,
  { random, plan, world, ledger, batches, queues, execution }: Stage,
): Omit<Job, "cap"> {
  const row = getRun(store, runId);
  const prices: Prices | null = row.prices;
  if (prices === null) throw new Error("the run has no prices");
  const watch = createWatch(store, { ledger, plan, world }, row.maxCostNanoUsd);
  const simulated: Simulated = { random, plan, world, ledger, prices, execution, watch };
  const onEvent = (event: ExecutionEvent) => {
    if (event.type === "stored") world.point("a commit");
  };
  return {
    store,
    lease,
    runId,
    settings: getSettings(store, row.settingsId),
    asked: settingsOfRun(store, row),
    server: BASE_URL,
    servers: [{ name: BASE_URL, provider: liveProvider(simulated, MAX_TOKENS) }],
    queue:
      row.executor === "queue"
        ? {
            connect: () => Promise.resolve(queues.connect(simulated, BASE_URL)),
            replyTo: RESULTS,
            newToken: () => newToken(RESULTS),
            maxAnswerBytes: 1_000_000,
            workerCommand: (server) => `a worker for ${server}`,
            giveUp: new AbortController().signal,
          }
        : null,
    concurrency: plan.concurrency,
    timeoutMs: 20_000,
    maxAttempts: plan.maxAttempts,
    giveUpAfterMs: 120_000,
    limits: { requestsPerMinute: undefined, tokensPerMinute: undefined },
    batches: {
      connect: () => Promise.resolve(batches.connect(simulated)),
      factor: PRICES.batch_factor,
      mode: row.executor === "batch" ? "submit" : "collect",
      waits: true,
      keepsFiles: false,
    },
    prices,
    isCountExact: false,
    isResumed: row.attempts > 0,
    reuse: row.reuse,
    reasoningTags: null,
    prefixes: prefixesOf(plan),
    hasAnswers: row.callsSucceeded > row.callsReused,
    drain,
    onEvent,
  };
}

/** Which calls share a prefix, so that one goes first: none, those of a perspective, or those of an input. */
function prefixesOf({ inputs }: Plan): Job["prefixes"] {
  const part = { message: 0, length: 1 };
  if (inputs % 3 === 0) return (perspective) => ({ ...part, id: perspective, isOfInput: false });
  return inputs % 3 === 1 ? null : () => ({ ...part, id: 0, isOfInput: true });
}

/** What always holds of the rows. */
function checkStored(store: Store): void {
  const [broken] = checkStore(store);
  if (broken) throw new Error(`it does not hold that ${broken.rule}: ${broken.examples.join("; ")}`);
}
