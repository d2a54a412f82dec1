// The thread that computes the statistics of one run for `datagen view`, so that nothing else waits for them.
import { parentPort, workerData } from "node:worker_threads";
import { UsageError } from "../../errors.ts";
import { noDatabase, openToRead } from "../../store/file/open.ts";
import { isLocked } from "../../store/file/transaction.ts";
import { figuresOf } from "./statistics.ts";
import type { StatisticsReply, StatisticsTask } from "./statistics-thread.ts";

/** How often it says how far it is. */
const EVERY_MS = 250;

const { database, run } = workerData as StatisticsTask;
reply(await replyTo());

async function replyTo(): Promise<StatisticsReply> {
  let said = 0;
  try {
    using store = openToRead(database);
    if (store === null) throw noDatabase(database);
    const figures = await figuresOf(store, run, (progress) => {
      const now = performance.now();
      if (now - said < EVERY_MS) return;
      said = now;
      reply({ progress });
    });
    return { json: JSON.stringify(figures) };
  } catch (error) {
    if (isLocked(error)) return { refusal: "the database is locked by another program" };
    if (error instanceof UsageError) return { refusal: error.message };
    throw error;
  }
}

function reply(value: StatisticsReply): void {
  parentPort?.postMessage(value);
}
