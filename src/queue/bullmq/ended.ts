import type { Queue } from "bullmq";
import { ENDED_QUEUE } from "../destination.ts";
import type { Engine } from "./engine.ts";

/*
 * Which runs have ended. Only the coordinator knows it: a run that is interrupted, or whose engine has lost everything, still
 * wants the results that come while nobody executes it.
 */

/** How long the end of a run is known: longer than any worker has a job. */
const KNOWN_MS = 86_400_000;
/** The most ends that are forgotten at a time. */
const MOST_FORGOTTEN = 10_000;

/** Notes that nobody will take results from this queue any more. */
export async function noteEnd(engine: Engine, results: string): Promise<void> {
  await withEnds(engine, async (ends) => {
    await ends.add("row", "", { jobId: results });
    await ends.clean(KNOWN_MS, MOST_FORGOTTEN, "wait").catch(() => {});
  });
}

/** Notes that the run of this queue goes on. */
export async function forgetEnd(engine: Engine, results: string): Promise<void> {
  await withEnds(engine, async (ends) => {
    await ends.remove(results, { removeChildren: false });
  });
}

/** Whether the run of this queue has ended. */
export async function hasEnded(engine: Engine, results: string): Promise<boolean> {
  return await withEnds(engine, async (ends) => (await ends.getJobState(results)) === "waiting");
}

async function withEnds<T>(engine: Engine, work: (ends: Queue) => Promise<T>): Promise<T> {
  const ends = engine.queue(ENDED_QUEUE);
  try {
    return await work(ends);
  } finally {
    await ends.close();
  }
}
