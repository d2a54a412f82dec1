import { EXIT } from "../errors.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Runs `body` with a signal that the first Ctrl-C aborts; the second ends the process at once. Work that no Ctrl-C has
 * to be told of needs none of this: the system ends the process, also in the midst of a long query.
 */
export async function interruptible<T>(
  body: (signal: AbortSignal) => Promise<T>,
  say: { first: () => void; second: () => void },
): Promise<T> {
  const controller = new AbortController();
  const onSignal = () => {
    if (controller.signal.aborted) {
      say.second();
      process.exit(EXIT.interrupted);
    }
    say.first();
    controller.abort();
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  try {
    return await body(controller.signal);
  } finally {
    for (const name of SIGNALS) process.off(name, onSignal);
  }
}
