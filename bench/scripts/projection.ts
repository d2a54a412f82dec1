// Calculates a run of many workers from measured figures, and prints a table: docs/scale.md shows it for 100 workers and
// 100,000,000 calls. `node bench/scripts/projection.ts [WORKERS] [CALLS]`. Nothing is measured here.
import { markdown } from "../table.ts";

/** From the tables of docs/performance.md: on two cores, with answers of 2,000 bytes, on Redis. */
const MEASURED = {
  coordinatorMs: 0.51,
  redisMs: 0.33,
  workerMs: 0.52,
  /** A look at 100 workers, once a second. */
  lookMs: 6,
  waitingJobKb: 1.7,
  databaseKb: 2.4,
  planningSPerMillion: 2.2,
};

/** Of the example: other values give another table. */
const ASSUMED = {
  inFlight: 32,
  answerS: 5,
  promptTokens: 250,
  completionTokens: 400,
  gpuUsdPerHour: 2,
  usdPerMillion: { prompt: 0.15, completion: 0.6 },
};

/** How many jobs the queue has for each that a worker can take. */
const WINDOW = 2;
/** A result waits for some milliseconds only, so the queue has few. */
const RESULT_KB = 3;

const [workers = 100, calls = 100_000_000] = process.argv.slice(2).map(Number);
const { coordinatorMs, redisMs, workerMs, lookMs, waitingJobKb, databaseKb, planningSPerMillion } = MEASURED;
const { inFlight, answerS, promptTokens, completionTokens, gpuUsdPerHour, usdPerMillion } = ASSUMED;

const places = workers * inFlight;
const perSecond = places / answerS;
const hours = calls / perSecond / 3_600;
const lookShare = ((lookMs / 1_000) * workers) / 100;
/** The most calls per second for which one core of the coordinator's is enough. */
const most = (1 - lookShare) / (coordinatorMs / 1_000);
const tokensUsd = (promptTokens * usdPerMillion.prompt + completionTokens * usdPerMillion.completion) / 1e6;

const whole = (value: number) => Math.round(value).toLocaleString("en");
const percent = (share: number) => (share < 0.01 ? "under 1 %" : `${(100 * share).toFixed(0)} %`);

const rows = [
  [
    "calls per second",
    whole(perSecond),
    `${whole(workers)} workers × ${inFlight} in flight / ${answerS} s for an answer`,
  ],
  ["time", `${hours.toFixed(0)} hours`, `${whole(calls)} calls at this rate`],
  [
    "CPU of the run's process",
    percent((perSecond * coordinatorMs) / 1_000 + lookShare),
    `${coordinatorMs} ms a call, and ${lookMs} ms a second for each 100 workers; of one core`,
  ],
  ["CPU of Redis", percent((perSecond * redisMs) / 1_000), `${redisMs} ms a call; of one core`],
  ["CPU of each worker", percent(((perSecond / workers) * workerMs) / 1_000), `${workerMs} ms a call; of one core`],
  [
    "memory of Redis",
    `${whole((WINDOW * places * (waitingJobKb + RESULT_KB)) / 1_000)} MB at most`,
    `${WINDOW} × ${whole(places)} jobs of ${waitingJobKb} kB, and as many results of ${RESULT_KB} kB`,
  ],
  ["database", `${whole((calls * databaseKb) / 1e6)} GB`, `${databaseKb} kB a call with an answer of 2,000 bytes`],
  [
    "planning",
    `${whole((calls / 1e6) * (planningSPerMillion / 60))} minutes`,
    `${planningSPerMillion} s for a million calls; more where the indexes do not fit into memory`,
  ],
  [
    "dollars for GPUs",
    `$${whole(workers * hours * gpuUsdPerHour)}`,
    `${whole(workers * hours)} hours of a GPU at $${gpuUsdPerHour}`,
  ],
  [
    "dollars for tokens, from a provider",
    `$${whole(calls * tokensUsd)}`,
    `${promptTokens} tokens there, ${completionTokens} back, at $${usdPerMillion.prompt} and $${usdPerMillion.completion} for a million`,
  ],
  [
    "the run's process is full at",
    `${whole(most)} calls per second`,
    `one core; answers faster than ${(places / most).toFixed(1)} s, or ${whole((most * answerS) / inFlight)} workers`,
  ],
  ["Redis is full at", `${whole(1_000 / redisMs)} calls per second`, "one core"],
];
process.stdout.write(`${markdown(["figure", "derived", "from"], rows)}\n`);
