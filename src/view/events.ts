import type { Context } from "hono";
import { streamSSE } from "hono/streaming";
import type { RunSummary } from "../app/runs/summary.ts";
import { ViewError } from "./view-error.ts";

/** The most streams that are open at once. */
const MOST_STREAMS = 20;

/** After so long without a change, a comment shows that the stream is still open. */
const HEARTBEAT_MS = 15_000;

/** Calls back with the totals of a run, at once and whenever they change, and with null when the run is gone. */
export type Watch = (run: string, onChange: (summary: RunSummary | null) => void) => () => void;

/** Answers requests with the totals of a run, as server-sent events. A slow reader gets only the newest ones. */
export function eventsOf(watch: Watch): (context: Context, run: string) => Response {
  let open = 0;
  return (context, run) => {
    if (open >= MOST_STREAMS) {
      throw new ViewError(503, `${MOST_STREAMS} pages are watching runs already`, "Close some of them.");
    }
    open += 1;
    return streamSSE(context, async (stream) => {
      let latest: RunSummary | null | undefined;
      let wake = () => {};
      const stop = watch(run, (summary) => {
        latest = summary;
        wake();
      });
      stream.onAbort(() => wake());
      try {
        while (!stream.aborted && latest !== null) {
          const summary = latest;
          latest = undefined;
          if (summary) await stream.writeSSE({ data: JSON.stringify(summary) });
          else if (!(await within(HEARTBEAT_MS, (onCall) => (wake = onCall)))) await stream.write(":\n\n");
        }
      } finally {
        open -= 1;
        stop();
      }
    });
  };
}

/** Waits until it is called back, or for so long. @returns whether it was called back */
async function within(ms: number, begin: (onCall: () => void) => void): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  try {
    return await new Promise<boolean>((resolve) => {
      timer = setTimeout(() => resolve(false), ms);
      begin(() => resolve(true));
    });
  } finally {
    clearTimeout(timer);
  }
}
