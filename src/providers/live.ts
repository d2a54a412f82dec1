import type { Completion, CompletionRequest, Provider } from "./provider.ts";
import { toCallError } from "./refusal.ts";

interface Connected {
  /** The key that is sent. It must not appear in messages. */
  apiKey: string | undefined;
  /** Ends all requests in flight. */
  close: (reason: Error) => void;
}

/**
 * A provider that sends each request on its own.
 * @param ask sends a request and reads its answer
 */
export function liveProvider(
  { apiKey, close }: Connected,
  ask: (request: CompletionRequest) => Promise<Completion>,
): Provider {
  let givenUp: Error | undefined;
  return {
    async complete(request) {
      try {
        return await ask(request);
      } catch (error) {
        throw givenUp ?? toCallError(error, apiKey);
      }
    },
    giveUp(reason) {
      givenUp = reason;
      close(reason);
    },
  };
}
