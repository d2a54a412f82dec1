import { Option } from "clipanion";
import type { ExecuteRunOptions } from "../app/run/execute-run.ts";
import type { Kept } from "../app/dataset/output.ts";
import { EXIT } from "../errors.ts";
import type { Store } from "../store/file/store.ts";
import { quoted } from "./command.ts";
import { growYoungGeneration } from "./memory.ts";
import { isNumber } from "./number.ts";
import { renderOutcome } from "./render/lines.ts";
import { SendingCommand } from "./sending.ts";

/** What `run` and `resume` share: they execute a run and export it. */
export abstract class ExecutionCommand extends SendingCommand {
  concurrency = Option.String("--concurrency", {
    description: "The most requests in flight at once",
    validator: isNumber(),
  });
  maxCost = Option.String("--max-cost", {
    description: "The most that the run may cost in all, in US dollars; it stops before it could cost more",
    validator: isNumber(),
  });
  noWait = Option.Boolean("--no-wait", false, {
    description: "Check each batch once and exit. Default: wait until all batches are done",
  });
  output = Option.String("--output,-o", {
    description: "The dataset: a file, or a folder that exists. Default: data/agents",
  });
  noExport = Option.Boolean("--no-export", false, {
    description: "Write no dataset; `datagen export` can write it later",
  });

  /** Checks, before anything is sent and paid, that the dataset can be written. */
  protected async checkOutput(kept: Kept): Promise<void> {
    if (this.noExport) return;
    const { checkOutput } = await import("../app/dataset/output.ts");
    await checkOutput(this.output, kept);
  }

  /** @returns the exit code */
  protected async executeAndExport(
    store: Store,
    id: string,
    options: Omit<ExecuteRunOptions, "wait" | "signal" | "onEvent" | "environment"> = {},
  ): Promise<number> {
    const [{ executeRun }, { exportRun }, { commonestFailure }] = await Promise.all([
      import("../app/run/execute-run.ts"),
      import("../app/dataset/export-run.ts"),
      import("../app/runs/commonest-failure.ts"),
    ]);
    return await this.interruptibly(id, async (signal) => {
      const { onEvent } = this.progress;
      growYoungGeneration();
      const run = await executeRun(store, id, { ...options, wait: !this.noWait, signal, onEvent });
      this.progress.end();
      this.warn(renderOutcome(run));
      this.whatStops = "the export ends, and its unfinished file is removed";
      const dataset = this.noExport ? null : await exportRun(store, id, { output: this.output, signal, onEvent });
      this.warnOfGaps(run, true, run.calls.failed > 0 ? commonestFailure(store, id) : null);
      if (this.json) this.printJson({ run, dataset });
      else if (dataset !== null) this.print(dataset);
      return run.calls.failed > 0 ? EXIT.someFailed : EXIT.done;
    });
  }

  protected override resumeCommand(id: string, flags = ""): string {
    const output = this.output === undefined ? "" : `--output ${quoted(this.output)}`;
    const words = [`resume ${id}`, flags, output, this.noExport ? "--no-export" : ""];
    return this.commandLine(words.filter(Boolean).join(" "));
  }
}
