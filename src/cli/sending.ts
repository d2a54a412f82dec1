import { DatagenError, EXIT } from "../errors.ts";
import { DatagenCommand } from "./command.ts";
import { createProgress } from "./render/progress.ts";

/** What commands that execute a run share: progress, signals, and how to go on after a stop. */
export abstract class SendingCommand extends DatagenCommand {
  protected readonly progress = createProgress(process.stderr);

  /** The command that goes on with a run of this one. */
  protected abstract resumeCommand(id: string): string;

  /** Runs `body` with a signal that a Ctrl-C aborts. Where it stops early, the error says how to go on. */
  protected async interruptibly<T>(id: string, body: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const interrupt = this.onSignals(id);
    try {
      return await body(interrupt.signal);
    } catch (error) {
      this.progress.end();
      const isResumable =
        error instanceof DatagenError && (error.exitCode === EXIT.stopped || error.exitCode === EXIT.interrupted);
      if (!isResumable) throw error;
      const { exitCode, cause } = error;
      throw new DatagenError(error.message, {
        exitCode,
        cause,
        hint: [error.hint, `Go on with: ${this.resumeCommand(id)}`].filter(Boolean).join("\n"),
      });
    } finally {
      interrupt.end();
    }
  }

  /** The first signal lets requests in flight finish, the second ends at once. */
  private onSignals(id: string): { signal: AbortSignal; end: () => void } {
    const controller = new AbortController();
    const onSignal = () => {
      this.progress.end();
      if (controller.signal.aborted) {
        this.warn(`Ended. Go on with: ${this.resumeCommand(id)}`);
        process.exit(EXIT.interrupted);
      }
      this.warn("Stopping: requests in flight get up to 10 seconds. Once more ends at once.");
      controller.abort();
    };
    const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
    for (const name of signals) process.on(name, onSignal);
    return {
      signal: controller.signal,
      end: () => {
        for (const name of signals) process.off(name, onSignal);
      },
    };
  }
}
