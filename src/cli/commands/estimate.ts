import { Command, Option } from "clipanion";
import { isEnum } from "typanion";
import type { EstimateRunOptions } from "../../app/estimate/estimate-run.ts";
import type { CreateRunOptions, PreparedRun } from "../../app/run/prepare-run.ts";
import { PROVIDERS } from "../../config/providers.ts";
import type { RunSummary } from "../../app/runs/summary.ts";
import type { Config } from "../../config/schema.ts";
import { EXIT } from "../../errors.ts";
import type { Store } from "../../store/file/store.ts";
import { isCount, isNumber } from "../number.ts";
import { type ModelEstimate, renderEstimateDetails, renderModelEstimates } from "../render/estimate.ts";
import { renderOutcome } from "../render/lines.ts";
import { SendingCommand } from "../sending.ts";
import { either } from "../render/text.ts";

/** Pilots that are checked and agreed to, one for each model. */
interface Pilots {
  prepared: readonly PreparedRun[];
  options: CreateRunOptions;
}

export class EstimateCommand extends SendingCommand {
  static override paths = [["estimate"]];
  static override usage = Command.Usage({
    category: "Data",
    description: "Estimate the calls, tokens and cost of a config before anything is sent",
    details: `
      Prompts are counted over every input and perspective. The length of the answers is predicted from earlier calls in
      the database: of the same instruction, else of the same condition, type of task, or model. A call that can reuse an
      earlier answer costs nothing. No API key is needed, and no run is created.

      Of several models, each has its estimate, and the sum of all comes last.

      \`--pilot N\` first runs the first N inputs, and estimates the whole run from their answers. The whole run reuses
      them later. A pilot sends requests, and needs a key. The pilots of several models are an experiment, with one cap.
    `,
    examples: [
      ["What a config will cost", "datagen estimate my_study.json"],
      ["For another model, after a pilot of 2 inputs", "datagen estimate my_study.json --model gpt-4.1 --pilot 2"],
      ["Every number, by perspective and step", "datagen estimate my_study.json --json"],
    ],
  });

  config = Option.String({ name: "CONFIG" });
  test = Option.Boolean("--test", false, { description: "Only the first 10 inputs and the first 4 perspectives" });
  provider = Option.String("--provider", {
    description: `The provider: ${either(PROVIDERS)}`,
    validator: isEnum(PROVIDERS),
  });
  model = Option.Array("--model", { description: "The name of the model; give it again for further models" });
  baseUrl = Option.Array("--base-url", {
    description: "The base URL of an OpenAI-compatible server; give it again for further servers of the same model",
  });
  sampleSize = Option.String("--sample-size", { description: "How many inputs to use", validator: isNumber() });
  fresh = Option.Boolean("--fresh", false, { description: "Reuse no earlier answers; count every call as sent" });
  maxCost = Option.String("--max-cost", {
    description: "The most that the pilot, or the pilots of several models together, may cost in US dollars",
    validator: isNumber(),
  });
  pilot = Option.String("--pilot", {
    description: "Run this many inputs first, and estimate from their answers",
    validator: isCount(),
  });

  yes = Option.Boolean("--yes,-y", false, { description: "Do not ask before the pilot starts" });

  async execute(): Promise<number> {
    const [{ loadConfigs }, { chooseModels }, { estimateRun }, { sumOf }] = await Promise.all([
      import("../../config/load.ts"),
      import("../../app/run/choose-models.ts"),
      import("../../app/estimate/estimate-run.ts"),
      import("../../app/estimate/sum.ts"),
    ]);
    const configs = chooseModels(await loadConfigs(this.config), this.model ?? []);
    const { provider, baseUrl, sampleSize, test, fresh, maxCost: maxCostUsd, progress } = this;
    using known = await (this.pilot === undefined ? this.openIfThere() : this.openStore("pretend"));
    const reuse = fresh ? ("none" as const) : ("same" as const);
    const overrides = { provider, baseUrl, sampleSize, maxCostUsd, test };
    const options = { overrides, reuse, onEvent: progress.onEvent };
    const prepared = this.pilot === undefined ? null : await this.preparePilots(known, configs, this.pilot, options);
    // A command that fails before this creates no database.
    using store = prepared && known.isPretended ? await this.openStore() : known;
    const pilots = prepared ? await this.runPilots(store, prepared) : [];
    const models: ModelEstimate[] = [];
    for (const [at, config] of configs.entries()) {
      const estimate = await estimateRun(store, config, { ...options, pilot: pilots[at]?.id });
      models.push({ model: config.model_config.model_name, estimate });
    }
    progress.end();
    const [first] = models;
    const isOne = models.length === 1 && first !== undefined;
    const total = sumOf(models.map(({ estimate }) => estimate));
    if (this.json) this.printJson(isOne ? first.estimate : { models, total });
    else if (isOne) this.print(renderEstimateDetails(first.estimate, this.width));
    else this.print(renderModelEstimates(models, total, this.width));
    return pilots.some(({ calls }) => calls.failed > 0) ? EXIT.someFailed : EXIT.done;
  }

  private async preparePilots(
    store: Store,
    configs: readonly Config[],
    size: number,
    options: EstimateRunOptions,
  ): Promise<Pilots> {
    const { pilotOptions } = await import("../../app/estimate/create-pilot.ts");
    const { prepareRuns } = await import("../../app/run/prepare-run.ts");
    const [config] = configs;
    if (!config) throw new Error("the config has no model");
    const confirm = this.yes ? undefined : this.confirmPlan;
    const pilot = await pilotOptions(config, size, { ...options, confirm });
    // The pilots of several models get their name together, when they are planned.
    const named = configs.length > 1 ? { ...pilot, name: undefined } : pilot;
    return { prepared: await prepareRuns(store, configs, named), options: named };
  }

  /** Runs the pilots of all models side by side, with one cap. */
  private async runPilots(store: Store, { prepared, options }: Pilots): Promise<RunSummary[]> {
    const [{ planRun }, { executeRun }] = await Promise.all([
      import("../../app/run/create-run.ts"),
      import("../../app/run/execute-run.ts"),
    ]);
    const { onEvent } = this.progress;
    const [first, ...others] = prepared;
    let runs: RunSummary[];
    if (first && others.length === 0) {
      const id = await planRun(store, first, options);
      runs = [await this.interruptibly(id, (signal) => executeRun(store, id, { signal, onEvent }))];
    } else runs = await this.runSeveral(store, { prepared, options });
    this.progress.end();
    for (const run of runs) this.warn(renderOutcome(run));
    return runs;
  }

  private async runSeveral(store: Store, { prepared, options }: Pilots): Promise<RunSummary[]> {
    const [{ planPilots }, { executeExperiment }, { showSummaries }, { labelsOf }] = await Promise.all([
      import("../../app/estimate/create-pilot.ts"),
      import("../../app/run/execute-experiment.ts"),
      import("../../app/runs/show-run.ts"),
      import("../render/experiment.ts"),
    ]);
    const { onEvent, label } = this.progress;
    const { name } = await planPilots(store, prepared, options);
    label(labelsOf(showSummaries(store, name).runs));
    const executed = await this.interruptibly(name, async (signal) => {
      const all = await executeExperiment(store, name, { signal, onEvent });
      const stopped = all.find(({ error }) => error !== undefined);
      if (stopped) throw stopped.error;
      return all;
    });
    label(new Map());
    return executed.map(({ run }) => run);
  }

  protected override resumeCommand(id: string, flags = ""): string {
    return this.commandLine(["resume", id, flags, "--no-export"].filter(Boolean).join(" "));
  }
}
