import { Command, Option } from "clipanion";
import { UsageError } from "../../errors.ts";
import type { ExecuteRunOptions } from "../../app/run/execute-run.ts";
import { quoted, RUNS_DESCRIPTION } from "../command.ts";
import { ExecutionCommand } from "../execution.ts";
import { confirmedUrlsFlag } from "../flags.ts";
import { isCount } from "../number.ts";

export class ResumeCommand extends ExecutionCommand {
  static override paths = [["resume"]];
  static override usage = Command.Usage({
    category: "Data",
    description: "Continue a run: send the calls that are not done, and export the dataset",
    details: `
      ${RUNS_DESCRIPTION}

      The run goes on as it was planned: the config and the inputs are not read again, and a call that has its answer is
      not sent. After a change of the config, use \`datagen run\`: it reuses the answers of the calls that stayed the
      same.

      If the run has batches, their state is shown, and the command waits until they are done. Ctrl-C ends the waiting and
      leaves the batches at the provider. \`--no-wait\` checks each batch once, stores the results that are ready, and exits
      with 3 while a batch is open.

      A run with a queue needs it again: \`--queue\`, or DATAGEN_QUEUE. The run stores the
      results that have come meanwhile, and waits for the calls that workers still have. With \`--queue\` a run that has
      sent its calls itself goes on with workers. With \`--live\` a run with a queue sends its calls itself; those whose
      results are still in the queue are then possibly billed, and sent again.

      A key goes only to the provider itself, or to a server that you have named on this machine. If only the database
      names the server, because it was copied or merged, a terminal asks you; elsewhere name the server with
      \`--base-url\`.

      A run belongs to the process that executes it, while that process lives. If this is not known at once, such as after
      a restart of the machine, the run is watched for up to 30 seconds. \`--take-over\` takes the run from a process that is
      stuck, after saying what is known of that process. The other process then stores nothing more, and its requests in
      flight are sent, and paid for, again.

      With \`--retry-truncated --max-tokens N\` an answer that the token limit cut off is asked for again. It stays until
      the longer one has arrived. The dataset's metadata says how many answers were asked with other parameters.
    `,
    examples: [
      ["Continue the newest run", "datagen resume latest"],
      ["Try its failed calls again, with few requests at once", "datagen resume latest --retry-failed --concurrency 4"],
      ["Raise its cap to 20 dollars", "datagen resume latest --max-cost 20"],
      ["Check its batches once, and store the results that are ready", "datagen resume latest --no-wait"],
      ["Take it from a process that is stuck", "datagen resume latest --take-over"],
      ["Let workers send the rest", "datagen resume latest --queue redis://queue.example:6379"],
      ["Ask again for answers that were cut off", "datagen resume latest --retry-truncated --max-tokens 4000"],
    ],
  });

  run = Option.String({ name: "RUN" });
  retryFailed = Option.Boolean("--retry-failed", false, { description: "Also send the failed calls again" });

  retryTruncated = Option.Boolean("--retry-truncated", false, {
    description: "Also ask again for answers that the token limit cut off; needs --max-tokens",
  });
  maxTokens = Option.String("--max-tokens", {
    description: "The new token limit, for --retry-truncated",
    validator: isCount(),
  });

  baseUrl = confirmedUrlsFlag();
  takeOver = Option.Boolean("--take-over", false, {
    description: "Take the run from the process that holds it, once you know that it is stuck",
  });
  batch = Option.Boolean("--batch", false, { description: "From now on, send the remaining calls in batches" });
  live = Option.Boolean("--live", false, {
    description: "From now on, send each remaining call in its own request",
  });

  async execute(): Promise<number> {
    const executor = this.executorOf({ batch: this.batch, live: this.live });
    if (this.retryTruncated !== (this.maxTokens !== undefined)) {
      throw new UsageError(
        "--retry-truncated and --max-tokens must be used together",
        "For example: --retry-truncated --max-tokens 2000",
      );
    }
    const [{ namedRuns }, { keptOfRun }] = await Promise.all([
      import("../../app/runs/named-runs.ts"),
      import("../../app/dataset/output.ts"),
    ]);
    using store = await this.openStore("refuse");
    const named = namedRuns(store, this.run);
    const kept = named.runs.map(({ id }) => keptOfRun(store, id));
    await this.checkOutputs(kept, named.experiment !== null);
    const { takeOver, retryFailed, concurrency, maxTokens, maxCost: maxCostUsd } = this;
    const retryTruncated = maxTokens === undefined ? undefined : { maxTokens };
    const options: ExecuteRunOptions = {
      takeOver,
      retryFailed,
      retryTruncated,
      concurrency,
      maxCostUsd,
      ...this.confirmation(this.baseUrl),
      executor,
    };
    return await this.executeAndExport(store, named, options);
  }

  protected override resumeCommand(id: string, flags = ""): string {
    // A run keeps its other flags in the database.
    const { concurrency, baseUrl } = this;
    const own = [
      concurrency === undefined ? "" : `--concurrency ${concurrency}`,
      ...(baseUrl ?? []).map((url) => `--base-url ${quoted(url)}`),
    ];
    return super.resumeCommand(id, [flags, ...own].filter(Boolean).join(" "));
  }
}
