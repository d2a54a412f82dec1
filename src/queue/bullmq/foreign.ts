import { errorMessage } from "../../errors.ts";
import { type Engine, removeJob } from "./engine.ts";

/** The most jobs that are looked at. */
const MOST_TAKEN = 20_000;

/** Whether an error says that something in the engine cannot be read, not that the engine is away. */
export function isUnreadable(error: unknown): boolean {
  return error instanceof SyntaxError || error instanceof TypeError || isWrongType(error);
}

/** Whether Redis says that a key has another type. Before version 7, other words come first if a script met the key. */
export function isWrongType(error: unknown): boolean {
  return /\bWRONGTYPE\b/.test(errorMessage(error));
}

/**
 * Removes the jobs of a queue that BullMQ cannot read. Anybody who can write to the engine can put one there. BullMQ takes
 * it from those that wait, and then fails, so that it would be taken again and again.
 */
export async function removeUnreadable(engine: Engine, name: string): Promise<void> {
  const queue = engine.queue(name);
  try {
    for (const id of await queue.getRanges(["active"], 0, MOST_TAKEN - 1)) {
      try {
        await queue.getJob(id);
      } catch (error) {
        if (!isUnreadable(error)) throw error;
        await removeJob(engine, queue, id);
      }
    }
  } finally {
    await queue.close();
  }
}
