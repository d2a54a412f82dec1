import { Option } from "clipanion";
import type { ExecutedRun } from "../app/run/execute-experiment.ts";
import type { ExecuteRunOptions } from "../app/run/execute-run.ts";
import type { Kept } from "../app/dataset/output.ts";
import type { RunSummary } from "../app/runs/summary.ts";
import { type ExecutorName, EXECUTORS } from "../config/executors.ts";
import { EXIT, UsageError } from "../errors.ts";
import { parseQueueUrl } from "../queue/url.ts";
import type { Store } from "../store/file/store.ts";
import { folderOf } from "./folder.ts";
import { quoted } from "./command.ts";
import { growYoungGeneration } from "./memory.ts";
import { isNumber } from "./number.ts";
import { renderError } from "./render/error.ts";
import { renderOutcome } from "./render/lines.ts";
import { SendingCommand } from "./sending.ts";

/** What `run` and `resume` share: they execute a run and export it. */
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
   * Checks, before anything is sent and paid, that the dataset can be written.
   * @param areSeveral whether there is a dataset for each of several runs
   */
  protected async checkOutput(kept: Kept, areSeveral = false): Promise<void> {
    if (this.noExport) return;
    if (areSeveral && this.output !== undefined) this.output = folderOf(this.output);
    const { checkOutput } = await import("../app/dataset/output.ts");
    await checkOutput(this.output, kept);
  }

  /** @returns the exit code */
  protected async executeAndExport(
    store: Store,
    id: string,
    options: Omit<ExecuteRunOptions, "wait" | "signal" | "onEvent" | "environment"> = {},
  ): Promise<number> {
    const { executeRun } = await import("../app/run/execute-run.ts");
    return await this.interruptibly(id, async (signal) => {
      const { onEvent } = this.progress;
      growYoungGeneration();
      const { queue } = this;
      const run = await executeRun(store, id, { ...options, queue, wait: !this.noWait, signal, onEvent });
      this.progress.end();
      this.warn(renderOutcome(run));
      const dataset = await this.exportOne(store, run, signal);
      if (this.json) this.printJson({ run, dataset });
      else if (dataset !== null) this.print(dataset);
      return run.calls.failed > 0 ? EXIT.someFailed : EXIT.done;
    });
  }

  /**
   * Executes the runs of an experiment side by side, and exports those that are done.
   * @returns the exit code
   */
  protected async executeAndExportAll(
    store: Store,
    name: string,
    options: Omit<ExecuteRunOptions, "wait" | "signal" | "onEvent" | "environment"> = {},
  ): Promise<number> {
    const [{ executeExperiment }, { showSummaries }, { labelsOf, exitCodeOf }] = await Promise.all([
      import("../app/run/execute-experiment.ts"),
      import("../app/runs/show-run.ts"),
      import("./render/experiment.ts"),
    ]);
    const labels = labelsOf(showSummaries(store, name).runs);
    this.progress.label(labels);
    return await this.interruptibly(name, async (signal) => {
      growYoungGeneration();
      const { onEvent } = this.progress;
      const given = { ...options, queue: this.queue, wait: !this.noWait, signal, onEvent };
      const executed = await executeExperiment(store, name, given);
      this.progress.end();
      for (const { run } of executed) this.warn(renderOutcome(run));
      const datasets: { run: RunSummary; dataset: string | null }[] = [];
      const ended: ExecutedRun[] = [];
      for (const { run, error } of executed) {
        const exported = error === undefined ? await this.tryToExport(store, run, signal) : { dataset: null, error };
        datasets.push({ run, dataset: exported.dataset });
        ended.push({ run, error: exported.error });
      }
      const stopped = ended.flatMap(({ run, error }) =>
        error === undefined ? [] : [{ label: labels.get(run.id), error }],
      );
      if (this.json) this.printJson({ experiment: name, runs: datasets });
      else for (const { dataset } of datasets) if (dataset !== null) this.print(dataset);
      for (const { label = "", error } of stopped) this.warn(`${label}: ${renderError(error).text}`);
      if (stopped.length > 0)
        this.warn(
          this.wayOn(
            name,
            stopped.map(({ error }) => error),
          ),
        );
      return exitCodeOf(ended);
    });
  }

  /** Exports one of several runs: if that fails, the datasets of the others are still written. */
  private async tryToExport(
    store: Store,
    run: RunSummary,
    signal: AbortSignal,
  ): Promise<{ dataset: string | null; error?: unknown }> {
    try {
      return { dataset: await this.exportOne(store, run, signal) };
    } catch (error) {
      return { dataset: null, error };
    }
  }

  private async exportOne(store: Store, run: RunSummary, signal: AbortSignal): Promise<string | null> {
    const [{ exportRun }, { commonestFailure }] = await Promise.all([
      import("../app/dataset/export-run.ts"),
      import("../app/runs/commonest-failure.ts"),
    ]);
    const { onEvent } = this.progress;
    this.whatStops = "the export ends, and its unfinished file is removed";
    const dataset = this.noExport ? null : await exportRun(store, run.id, { output: this.output, signal, onEvent });
    this.warnOfGaps(run, true, run.calls.failed > 0 ? commonestFailure(store, run.id) : null);
    return dataset;
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
