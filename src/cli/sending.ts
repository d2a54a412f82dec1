import type { Confirmation } from "../app/server/server-of-run.ts";
import { DatabaseTakenError, DatagenError, EXIT, PausedError, StoppedError, WrongPlanError } from "../errors.ts";
import type { PlanQuestion } from "../app/run/prepare-run.ts";
import { DatagenCommand, quoted } from "./command.ts";
import { renderQuestion } from "./render/lines.ts";
import { createProgress } from "./render/progress.ts";
import { interruptible } from "./signals.ts";

/** What commands that execute a run share: progress, signals, and the command to continue after a stop. */
export abstract class SendingCommand extends DatagenCommand {
  protected readonly progress = createProgress(process.stderr);

  /** What a Ctrl-C does at this moment. */
  protected whatStops = "requests in flight get up to 10 seconds";

  /** The command that continues a run. @param flags what it needs besides */
  protected abstract resumeCommand(id: string, flags?: string): string;

  /** Runs `body` with a signal that a Ctrl-C aborts. If it stops early, the error says how to continue. */
  protected async interruptibly<T>(id: string, body: (signal: AbortSignal) => Promise<T>): Promise<T> {
    try {
      return await interruptible(body, {
        first: () => {
          this.progress.end();
          this.warn(`Stopping: ${this.whatStops}. Press Ctrl-C again to end at once.`);
        },
        second: () => {
          this.progress.end();
          this.warn(`Ended. Requests in flight may be billed. Go on with: ${this.resumeCommand(id)}`);
        },
      });
    } catch (error) {
      this.progress.end();
      const isResumable =
        error instanceof DatagenError && (error.exitCode === EXIT.stopped || error.exitCode === EXIT.interrupted);
      if (!isResumable) throw error;
      const { exitCode, cause, isNormal } = error;
      if (error instanceof DatabaseTakenError && error.rescued !== null) this.db = error.rescued;
      const hint = [error.hint, ...this.waysOn(id, error)].filter(Boolean).join("\n");
      throw new DatagenError(error.message, { exitCode, cause, isNormal, hint });
    }
  }

  /** The command that continues an experiment whose runs stopped for these reasons. */
  protected wayOn(name: string, errors: readonly unknown[]): string {
    const flags = new Set(errors.map((error) => (error instanceof StoppedError ? error.resumeFlags : "")));
    return `Go on with: ${this.resumeCommand(name, [...flags].filter(Boolean).toSorted().at(-1) ?? "")}`;
  }

  private waysOn(id: string, error: DatagenError): string[] {
    const command = this.resumeCommand(id, error instanceof StoppedError ? error.resumeFlags : "");
    if (error instanceof WrongPlanError) return [`If the server was at fault, go on with: ${command}`];
    const wayOn = `Go on with: ${command}`;
    if (!(error instanceof PausedError)) return [wayOn];
    return [wayOn, `Export the answers so far with: ${this.commandLine(`export ${quoted(id)} --allow-partial`)}`];
  }

  /** Asks the user before a run is planned; undefined if nobody can be asked. */
  protected get confirmPlan(): ((question: PlanQuestion) => Promise<boolean>) | undefined {
    const { ask } = this;
    return (
      ask &&
      ((question) => {
        this.progress.end();
        return ask(renderQuestion(question));
      })
    );
  }

  /** How the user confirms a server that only the database names: by a flag, or by an answer on the terminal. */
  protected confirmation(baseUrl: readonly string[] | undefined): Confirmation {
    const { ask } = this;
    const confirm: Confirmation["confirm"] =
      ask &&
      (({ run, baseUrl: server, variable }) =>
        ask(
          `Run ${run} sends its requests to ${server}. You have not named this server on this machine, and the database may be somebody else's. Send ${variable} there?`,
        ));
    return { baseUrl, confirm };
  }
}
