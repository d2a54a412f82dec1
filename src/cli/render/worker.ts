import type { WorkerEvent } from "../../app/worker/answer-jobs.ts";
import type { WorkerReport } from "../../app/worker/job-worker.ts";
import { counted, number } from "./text.ts";

/** What a worker reports while it works, in one line. */
export function renderWorkerEvent(event: WorkerEvent): string {
  switch (event.type) {
    case "started": {
      const { queue, servers, concurrency } = event;
      return `Taking jobs from ${queue} for ${servers.join(", ")}, at most ${number(concurrency)} at the same time. Ctrl-C ends the worker after the jobs that it has.`;
    }
    case "warning":
      return `Warning: ${event.message}`;
    case "away":
      return `Warning: the queue ${event.queue} does not answer; trying again.`;
    default:
      return `The queue ${event.queue} answers again.`;
  }
}

export function renderWorkerReport({ answered, failed, dropped }: WorkerReport): string {
  const parts = [`${counted(answered, "job")} answered`];
  if (failed > 0) parts.push(`${number(failed)} of them with a failure`);
  if (dropped > 0) parts.push(`${number(dropped)} dropped`);
  return `Ended: ${parts.join(", ")}.`;
}
