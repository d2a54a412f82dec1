import type { Job, JobsOptions, Queue } from "bullmq";
import { errorMessage } from "../../errors.ts";
import { type Destination, jobsQueue } from "../destination.ts";
import { decodeResult, encode, type ResultMessage, tokenPrefix } from "../messages.ts";
import type { CoordinatorQueue, JobState } from "../queue.ts";
import { Sightings } from "../sightings.ts";
import type { Claim } from "./claim.ts";
import { noteEnd } from "./ended.ts";
import { type Engine, patiently, RECONNECT_MS, removeJob, within } from "./engine.ts";
import type { Roster } from "./roster.ts";

/** The most results that are taken at the same time. */
const MOST_TAKEN = 256;

/**
 * How long the engine waits for a sign of life of a coordinator that has a result. If it has ended, the result comes again
 * after this time.
 */
const RESULT_LOCK_MS = 5_000;

/** A job is one attempt. The coordinator, not the engine, decides whether there is another one. */
const JOB: JobsOptions = { attempts: 1, removeOnComplete: true, removeOnFail: true };

/** How long the engine is waited for at the end. A result that is being taken may have to be stored first. */
const CLOSING_MS = 15_000;

/** When a result that could not be taken comes again. */
const AGAIN_MS = 1_000;

/** The states of the engine in which nobody has begun a job. */
const WAITING = new Set<string>(["waiting", "prioritized", "delayed", "paused", "waiting-children"]);

/** The most jobs of a destination among which those of the run are looked for at its end. */
const MOST_LEFT = 200_000;

export interface CoordinatorParts {
  engine: Engine;
  roster: Roster;
  claim: Claim;
  results: string;
  patienceMs: number;
  onWarning: (message: string) => void;
}

/** See {@link CoordinatorQueue}. */
export function coordinatorQueue(parts: CoordinatorParts): CoordinatorQueue {
  const { engine, roster, claim, results, patienceMs, onWarning } = parts;
  const queues = new Map<string, Queue>();
  const sightings = new Sightings();
  let isAway = false;
  const onSilent = () => {
    if (!isAway) onWarning(`the queue ${engine.url.shown} does not answer; trying again`);
    isAway = true;
  };
  const patient = async <T>(work: () => Promise<T>) => {
    const answer = await patiently(engine.url, patienceMs, work, onSilent);
    isAway = false;
    return answer;
  };
  const queueOf = (name: string) => {
    const queue = queues.get(name) ?? engine.queue(name);
    queues.set(name, queue);
    return queue;
  };
  const jobsOf = (destination: Destination) => queueOf(jobsQueue(destination));
  const stateOf = async (token: string, destination: Destination): Promise<JobState> => {
    const state = await patient(() => jobsOf(destination).getJobState(token));
    if (WAITING.has(state)) return "waiting";
    // A worker may have ended between its report and the end of the job.
    const result = await patient(() => queueOf(results).getJobState(token));
    if (result === "active" || WAITING.has(result)) return "reported";
    return state === "active" ? "begun" : "absent";
  };
  let reader: { close(): Promise<void> } | undefined;
  return {
    lost: claim.lost,
    async put(job) {
      const data = await encode(job);
      await patient(() => jobsOf(job).add("job", data, { ...JOB, jobId: job.token }));
    },
    onResult(take) {
      reader = engine.worker(results, (job, lock) => takeResult(job, lock, take, onWarning), {
        concurrency: MOST_TAKEN,
        lockDuration: RESULT_LOCK_MS,
        stalledInterval: RESULT_LOCK_MS,
        maxStalledCount: Number.MAX_SAFE_INTEGER,
        removeOnComplete: { count: 0 },
        removeOnFail: { count: 0 },
        runRetryDelay: RECONNECT_MS,
      });
    },
    stateOf,
    async takeBack(token, destination) {
      // The engine says that it removed a job also where there was none.
      if ((await stateOf(token, destination)) !== "waiting") return false;
      return (await patient(() => jobsOf(destination).remove(token, { removeChildren: false }))) === 1;
    },
    discard: (token, destination) => patient(() => removeJob(engine, jobsOf(destination), token)),
    async workers() {
      await patient(() => roster.look(sightings));
      return sightings.living(performance.now());
    },
    async remove(destinations) {
      const removing = async () => {
        await reader?.close();
        await removeRun(parts, destinations.map(jobsOf));
      };
      await within(CLOSING_MS, removing()).catch(() => {});
    },
    async close() {
      // While the engine is away, nothing of it closes by itself.
      const closing = async () => {
        await reader?.close();
        await claim.release();
        await Promise.all([...queues.values(), roster].map((queue) => queue.close()));
      };
      await within(CLOSING_MS, closing()).catch(() => {});
      claim.stop();
      await within(CLOSING_MS, engine.close()).catch(() => {});
    },
  };
}

/** Removes what a run has in its queues of jobs, and its results. */
async function removeRun({ engine, claim, results }: CoordinatorParts, queues: readonly Queue[]): Promise<void> {
  // The holder of a copy of the database may have taken the run over: what is there is its own.
  if (!(await claim.release())) return;
  // From now on, a worker takes back what it reports late.
  await noteEnd(engine, results);
  for (const queue of queues) await removeJobs(engine, queue, tokenPrefix(results));
  await engine.drop(results);
}

/** Removes the jobs whose ids begin so, whoever has them. */
async function removeJobs(engine: Engine, queue: Queue, beginning: string): Promise<void> {
  const ids = await queue.getRanges(["waiting", "active"], 0, MOST_LEFT - 1);
  for (const id of ids) if (id.startsWith(beginning)) await removeJob(engine, queue, id);
}

async function takeResult(
  job: Job,
  lock: string | undefined,
  take: (result: ResultMessage) => Promise<void>,
  onWarning: (message: string) => void,
): Promise<void> {
  let result: ResultMessage;
  try {
    result = await decodeResult(job.data);
    if (result.token !== job.id) throw new Error("its token is not its id");
  } catch (error) {
    onWarning(`a message in the queue of results was dropped: ${errorMessage(error)}`);
    return;
  }
  try {
    await take(result);
  } catch {
    // BullMQ would count this as an attempt of the job, and remove it after the last one.
    await job.moveToDelayed(Date.now() + AGAIN_MS, lock);
    throw Object.assign(new Error("the result could not be taken"), { name: "DelayedError" });
  }
}
