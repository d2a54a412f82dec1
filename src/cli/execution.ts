import { Option } from "clipanion";
import { isNumber } from "typanion";
import type { ExecuteRunOptions } from "../app/execute-run.ts";
import { DatagenError, EXIT } from "../errors.ts";
import type { Store } from "../store/open.ts";
import { DatagenCommand, quoted } from "./command.ts";
import { createProgress } from "./render/progress.ts";
import { renderOutcome } from "./render/lines.ts";

/** What `run` and `resume` share: executing a run with progress and signals, and exporting it. */
export abstract class ExecutionCommand extends DatagenCommand {
  concurrency = Option.String("--concurrency", {
    description: "The most requests in flight at once",
    validator: isNumber(),
  });
  output = Option.String("--output,-o", {
    description: "The dataset: a file, or a folder that exists. Default: data/agents",
  });
  noExport = Option.Boolean("--no-export", false, { description: "Leave the dataset for `datagen export`" });

  protected readonly progress = createProgress(process.stderr);

  /** Before anything is sent: an answer is dear, and a folder that cannot be written is not. */
  protected async checkOutput(): Promise<void> {
    if (this.noExport) return;
    const { checkOutput } = await import("../app/export-run.ts");
    await checkOutput(this.output);
  }

  /** @returns the exit code */
  protected async executeAndExport(
    store: Store,
    id: string,
    options: Pick<ExecuteRunOptions, "retryFailed" | "retryTruncated" | "concurrency"> = {},
  ): Promise<number> {
    const [{ executeRun }, { exportRun }] = await Promise.all([
      import("../app/execute-run.ts"),
      import("../app/export-run.ts"),
    ]);
    const interrupt = this.onSignals(id);
    try {
      const { onEvent } = this.progress;
      const run = await executeRun(store, id, { ...options, signal: interrupt.signal, onEvent });
      this.progress.end();
      this.warn(renderOutcome(run));
      const dataset = this.noExport ? null : await exportRun(store, id, { output: this.output });
      this.warnOfGaps(run);
      if (this.json) this.printJson({ run, dataset });
      else if (dataset !== null) this.print(dataset);
      return run.calls.failed > 0 ? EXIT.someFailed : EXIT.done;
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

  private resumeCommand(id: string): string {
    const output = this.output === undefined ? "" : ` --output ${quoted(this.output)}`;
    return this.commandLine(`resume ${id}${output}${this.noExport ? " --no-export" : ""}`);
  }
}
