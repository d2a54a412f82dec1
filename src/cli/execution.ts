import { Option } from "clipanion";
import type { Kept } from "../app/dataset/output.ts";
import type { ExecuteRunOptions } from "../app/run/execute-run.ts";
import type { ExecutedRun } from "../app/run/execute-runs.ts";
import type { NamedRuns } from "../app/runs/named-runs.ts";
import type { RunSummary } from "../app/runs/summary.ts";
import { type ExecutorName, EXECUTORS } from "../config/executors.ts";
import { UsageError } from "../errors.ts";
import { parseQueueUrl } from "../queue/url.ts";
import type { Store } from "../store/file/store.ts";
import { quoted } from "./command.ts";
import { growYoungGeneration } from "./memory.ts";
import { isNumber } from "./number.ts";
import { renderError } from "./render/error.ts";
import { renderOutcome } from "./render/lines.ts";
import { SendingCommand } from "./sending.ts";

/** A run after it was executed and, if all its calls are done, exported. */
type ExportedRun = ExecutedRun & { dataset: string | null };

/** What `run` and `resume` share: they execute runs and export them. */
export abstract class ExecutionCommand extends SendingCommand {
  concurrency = Option.String("--concurrency", {
    description: "The most requests in flight at once",
    validator: isNumber(),
  });
  maxCost = Option.String("--max-cost", {
    description:
      "The most that the run, or the runs of several models together, may cost in US dollars; it stops before it could cost more",
    validator: isNumber(),
  });
  queue = Option.String("--queue", {
    description:
      "The queue from which workers take the calls: redis://, rediss:// or postgres://. Default: DATAGEN_QUEUE. It is not stored",
  });
  noWait = Option.Boolean("--no-wait", false, {
    description: "Check each batch once and exit. Default: wait until all batches are done",
  });
  output = Option.String("--output,-o", {
    description: "The dataset: a file, or a folder that exists; of several models, a folder. Default: data/agents",
  });
  noExport = Option.Boolean("--no-export", false, {
    description: "Write no dataset; `datagen export` can write it later",
  });

  /**
   * The executor that the flags name; undefined if none does.
   * @throws UsageError when several do
   */
  protected executorOf(flags: Partial<Record<ExecutorName, boolean>>): ExecutorName | undefined {
    const given = EXECUTORS.filter((name) => (name === "queue" ? this.queue !== undefined : flags[name]));
    const [executor, other] = given;
    if (other === undefined) return executor;
    throw new UsageError(`--${executor} and --${other} cannot be used together`, "Leave one of them out.");
  }

  /**
   * Checks, before anything is sent and paid, that the datasets can be written.
   * @param kept of each run
   * @param isExperiment whether each run gets a dataset of its own
   */
  protected async checkOutputs(kept: readonly Kept[], isExperiment: boolean): Promise<void> {
    if (this.noExport) return;
    const { checkOutputs } = await import("../app/dataset/export-runs.ts");
    this.output = await checkOutputs(this.output, kept, isExperiment);
  }

  /**
   * Executes runs, and exports those that are done.
   * @returns the exit code
   */
  protected async executeAndExport(
    store: Store,
    named: NamedRuns,
    options: Omit<ExecuteRunOptions, "wait" | "signal" | "onEvent" | "environment"> = {},
  ): Promise<number> {
    const [{ executeRuns }, { exitCodeOf, exportedJson, labelsOf }] = await Promise.all([
      import("../app/run/execute-runs.ts"),
      import("./render/runs.ts"),
    ]);
    const { name, experiment } = named;
    const labels = labelsOf(named);
    this.progress.label(labels);
    return await this.interruptibly(name, async (signal) => {
      growYoungGeneration();
      const { onEvent } = this.progress;
      const given = { ...options, queue: this.queue, wait: !this.noWait, signal, onEvent };
      const executed = await executeRuns(store, named, given);
      this.progress.end();
      for (const { run } of executed) this.warn(renderOutcome(run));
      const ended: ExportedRun[] = [];
      for (const { run, error } of executed)
        ended.push(error === undefined ? await this.exportOne(store, run, signal) : { run, error, dataset: null });
      const stopped = ended.filter(({ error }) => error !== undefined);
      // A run alone ends with its error, which says how to go on.
      if (experiment === null && stopped[0]) throw stopped[0].error;
      const datasets = ended.map(({ dataset }) => dataset);
      if (this.json) this.printJson(exportedJson({ experiment, runs: ended.map(({ run }) => run), datasets }));
      else for (const dataset of datasets) if (dataset !== null) this.print(dataset);
      for (const { run, error } of stopped) this.warn(`${labels.get(run.id) ?? ""}: ${renderError(error).text}`);
      const errors = stopped.map(({ error }) => error);
      if (errors.length > 0) this.warn(this.wayOn(name, errors));
      return exitCodeOf(ended);
    });
  }

  /** Exports one of several runs: if that fails, the datasets of the others are still written. */
  private async exportOne(store: Store, run: RunSummary, signal: AbortSignal): Promise<ExportedRun> {
    const [{ exportRun }, { commonestFailure }] = await Promise.all([
      import("../app/dataset/export-run.ts"),
      import("../app/runs/commonest-failure.ts"),
    ]);
    const { onEvent } = this.progress;
    this.whatStops = "the export ends, and its unfinished file is removed";
    try {
      const dataset = this.noExport ? null : await exportRun(store, run.id, { output: this.output, signal, onEvent });
      this.warnOfGaps(run, true, run.calls.failed > 0 ? commonestFailure(store, run.id) : null);
      return { run, dataset };
    } catch (error) {
      return { run, error, dataset: null };
    }
  }

  /** The flag that names the queue again, without credentials. */
  private queueFlag(): string {
    if (this.queue === undefined) return "";
    const { href, shown } = parseQueueUrl(this.queue, "--queue");
    return `--queue ${href === shown ? quoted(shown) : "URL"}`;
  }

  protected override resumeCommand(id: string, flags = ""): string {
    const output = this.output === undefined ? "" : `--output ${quoted(this.output)}`;
    const words = [`resume ${quoted(id)}`, flags, this.queueFlag(), output, this.noExport ? "--no-export" : ""];
    return this.commandLine(words.filter(Boolean).join(" "));
  }
}
