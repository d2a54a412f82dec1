// The thread that reads for `datagen view`. Only here is the database open, so that no query makes the server wait.
import { parentPort, workerData } from "node:worker_threads";
import { noDatabase, openToRead } from "../../store/file/open.ts";
import { isLocked } from "../../store/file/transaction.ts";
import { ViewError } from "../../view/view-error.ts";
import { Reader } from "./reader.ts";
import type { Reply, Task } from "./reading-thread.ts";
import { SliceOver } from "./slice.ts";

const path = String(workerData);
const store = openToRead(path);
if (store === null) throw noDatabase(path);
// A question that waited for another program would keep all others waiting.
store.sqlite.exec("pragma query_only = ON; pragma busy_timeout = 1000");
const reader = new Reader(store);

parentPort?.on("message", (task: Task) => parentPort?.postMessage(replyTo(task)));

function valueFor(task: Task): unknown {
  if ("watched" in task) return reader.totals(task.watched, task.isForced);
  return "versioned" in task ? reader.version(task.versioned) : reader.answer(task.question, task.args);
}

function replyTo(task: Task): Reply {
  try {
    return { json: JSON.stringify(valueFor(task)) };
  } catch (error) {
    if (error instanceof SliceOver) return { isToRepeat: true };
    if (error instanceof ViewError) {
      const { status, message, hint } = error;
      return { refusal: { status, message, hint } };
    }
    if (isLocked(error)) {
      return { refusal: { status: 503, message: "the database is locked by another program", hint: "Try again." } };
    }
    return { bug: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}
