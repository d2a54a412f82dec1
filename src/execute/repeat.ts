import { CallError } from "../providers/provider.ts";
import { decide, kindOf, NO_TRIES } from "./retry.ts";

/** How long to wait after this failure before the request is sent again; null if it would fail again. */
export type Backoff = () => number | null;

/**
 * Sends a request until it succeeds.
 * @param request gets how often it has been sent, this time included
 * @param onFailure waits after a failure, throws to end, or gives a result in the place of the answer
 */
export async function repeat<T>(
  request: (sent: number) => Promise<T>,
  onFailure: (error: CallError, backoff: Backoff, sent: number) => Promise<{ result: T } | undefined>,
): Promise<T> {
  let tries = NO_TRIES;
  for (let sent = 1; ; sent += 1) {
    try {
      return await request(sent);
    } catch (error) {
      if (!(error instanceof CallError)) throw error;
      const backoff = () => {
        // Such an answer is paid if a model made it. An answer about a batch costs nothing.
        const reason = error.reason === "broken" ? "malformed" : error.reason;
        const kind = kindOf(reason);
        if (kind !== "transient" && kind !== "rateLimited") return null;
        const next = decide(reason, error.details.retryAfterMs, tries, Number.POSITIVE_INFINITY, Math.random());
        tries = next.tries;
        return next.decision.action === "retry" ? next.decision.delayMs : null;
      };
      const ended = await onFailure(error, backoff, sent);
      if (ended) return ended.result;
    }
  }
}
