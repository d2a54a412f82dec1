import { Command, Option } from "clipanion";
import { UsageError } from "../../errors.ts";
import { parsePart } from "../../plan/shard.ts";
import { KEY_VARIABLES } from "../../providers/index.ts";
import type { CreateRunOptions } from "../../app/run/prepare-run.ts";
import { baseUrlsFlag, providerFlag, sampleSizeFlag, testFlag } from "../flags.ts";
import { ExecutionCommand } from "../execution.ts";
import { isNumber } from "../number.ts";

export class RunCommand extends ExecutionCommand {
  static override paths = [["run"]];
  static override usage = Command.Usage({
    category: "Data",
    description: "Ask the model for every input from every perspective, and export the dataset",
    details: `
      The config and all inputs are checked before anything is sent. Every answer is stored when it arrives: a run can be
      stopped or killed at any time, and \`datagen resume\` continues it. The run's id is printed at once, on stderr; the
      dataset's path is printed at the end, on stdout.

      A call is not sent if an earlier call of this database had the same prompt, the same model and the same parameters:
      it reuses that answer, at no cost. With \`--fresh\` every call is sent. \`--reuse-unless-truncated\` also reuses
      answers that had another token limit, unless that limit cut them off.

      On a terminal the command asks before it starts a run that will cost more than one dollar
      (\`--confirm-above\`, or \`confirm_above_usd\` in the config), or one whose plan another process executes at this
      moment. Elsewhere, and with \`--yes\`, it asks nothing.

      With several models (\`--model\` several times, or an array as \`model_config\`) the command plans an experiment: a run
      for each model, executed side by side, with one cap for all. Its name works where the id of a run does.

      With \`--queue\` (or DATAGEN_QUEUE) the calls are sent by workers, on any number of machines: \`datagen worker\` takes
      them from a queue in Redis, Valkey or PostgreSQL, and has the keys. This process keeps the database, the cap and the
      pace. Without a worker it waits, and stops after \`give_up_after_s\`. Jobs are for the base URL of the run, or for its
      name (\`--server NAME\`), and only workers that name the same take them.

      API keys are read from the environment and from a .env file in the current folder: ${KEY_VARIABLES.join(", ")},
      and DATAGEN_API_KEY for a \`base_url\` in a config.

      Exit codes: 0 all done, 1 some calls failed, 2 something is wrong with the command, the config or the input,
      3 stopped early, 130 interrupted; after 3 and 130 the run can be resumed.
    `,
    examples: [
      ["Without a key and without a network", "datagen run my_study.json --provider offline"],
      ["A quick look: 10 inputs, 4 perspectives", "datagen run my_study.json --test --provider offline"],
      ["For at most 5 dollars", "datagen run my_study.json --max-cost 5"],
      ["In batches, for about half the price", "datagen run my_study.json --batch"],
      ["With another model", "datagen run my_study.json --model meta-llama/Llama-3.3-70B-Instruct-Turbo"],
      ["Two models side by side", "datagen run my_study.json --model gpt-4.1 --model gpt-4.1-mini --name two-models"],
      ["By workers on other machines", "datagen run my_study.json --queue redis://queue.example:6379 --server gpus"],
      ["On your own server", "datagen run my_study.json --base-url http://localhost:11434/v1 --model llama3.2"],
    ],
  });

  config = Option.String({ name: "CONFIG" });
  test = testFlag();
  provider = providerFlag();
  model = Option.Array("--model", {
    description: "The name of the model; give it again for further models, each in a run of its own",
  });
  baseUrl = baseUrlsFlag();
  server = Option.String("--server", {
    description: "A name for the servers: answers are reused under it, and workers of a queue take its calls",
  });
  sampleSize = sampleSizeFlag();
  fresh = Option.Boolean("--fresh", false, {
    description: "Reuse no earlier answers; send every call",
  });
  batch = Option.Boolean("--batch", false, { description: "Send the calls in batches, with the provider's batch API" });
  shard = Option.String("--shard", {
    description: "Run only part i of n of the inputs, such as 1/3; see `datagen db merge`",
  });
  reuseUnlessTruncated = Option.Boolean("--reuse-unless-truncated", false, {
    description: "Also reuse answers that had another token limit, unless it cut them off",
  });
  confirmAbove = Option.String("--confirm-above", {
    description: "Ask on a terminal before a run that will cost more, in US dollars. Default: 1",
    validator: isNumber(),
  });
  yes = Option.Boolean("--yes,-y", false, { description: "Do not ask before the run starts" });
  name = Option.String("--name", { description: "A label for the run in lists; of several models, the name of all" });

  async execute(): Promise<number> {
    const executor = this.executorOf({ batch: this.batch });
    if (this.fresh && this.reuseUnlessTruncated) {
      throw new UsageError("--fresh and --reuse-unless-truncated cannot be used together", "Leave one of them out.");
    }
    const [{ loadConfigs }, { chooseModels }, { prepareRuns }, { planRuns }, { keptOf }] = await Promise.all([
      import("../../config/load.ts"),
      import("../../app/run/choose-models.ts"),
      import("../../app/run/prepare-run.ts"),
      import("../../app/run/create-run.ts"),
      import("../../app/dataset/output.ts"),
    ]);
    const configs = chooseModels(await loadConfigs(this.config), this.model ?? []);
    const [config] = configs;
    if (!config) throw new Error("the config has no model");
    const { provider, baseUrl, sampleSize, concurrency, test, name } = this;
    const { maxCost: maxCostUsd, confirmAbove: confirmAboveUsd } = this;
    const { queue, server } = this;
    const shard = this.shard === undefined ? undefined : parsePart(this.shard);
    using known = await this.openStore("pretend");
    await this.checkOutputs([{ ...keptOf(known, config), config: this.config }], configs.length > 1);
    const options: CreateRunOptions = {
      overrides: { provider, baseUrl, server, sampleSize, concurrency, maxCostUsd, confirmAboveUsd, executor, test },
      shard,
      queue,
      reuse: this.fresh ? "none" : this.reuseUnlessTruncated ? "unless_truncated" : "same",
      name,
      confirm: this.yes ? undefined : this.confirmPlan,
      onEvent: this.progress.onEvent,
    };
    const prepared = await prepareRuns(known, configs, options);
    // A command that fails before this creates no database.
    using store = known.isPretended ? await this.openStore() : known;
    const planned = await planRuns(store, prepared, options);
    const { experiment, runs } = planned;
    if (experiment !== null) this.warn(`Experiment ${experiment}: the runs ${runs.map(({ id }) => id).join(", ")}`);
    return await this.executeAndExport(store, planned);
  }
}
