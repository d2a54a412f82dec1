import { EXIT } from "../errors.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Runs `body` with a signal that the first Ctrl-C aborts; the second ends the process at once. Commands with nothing to
 * clean up do not need this: the system then ends the process, even during a long query.
 */
export async function interruptible<T>(
  body: (signal: AbortSignal) => Promise<T>,
  say: { first: () => void; second: () => void },
): Promise<T> {
  const controller = new AbortController();
  const stopListening = () => {
    for (const name of SIGNALS) process.off(name, onSignal);
  };
  const onSignal = (name: NodeJS.Signals) => {
    if (controller.signal.aborted) {
      say.second();
      stopListening();
      // `process.exit` would wait for a thread that opens or writes a pipe without a reader; a signal does not wait.
      if (process.getActiveResourcesInfo().some((kind) => kind.startsWith("FSReq"))) process.kill(process.pid, name);
      process.exit(EXIT.interrupted);
    }
    say.first();
    controller.abort();
  };
  for (const name of SIGNALS) process.on(name, onSignal);
  try {
    return await body(controller.signal);
  } finally {
    stopListening();
  }
}
