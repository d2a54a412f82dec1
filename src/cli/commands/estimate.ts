import { Command, Option } from "clipanion";
import type { PreparedPilots } from "../../app/estimate/create-pilot.ts";
import type { RunSummary } from "../../app/runs/summary.ts";
import { EXIT } from "../../errors.ts";
import type { Store } from "../../store/file/store.ts";
import { baseUrlsFlag, providerFlag, sampleSizeFlag, testFlag } from "../flags.ts";
import { isCount, isNumber } from "../number.ts";
import { estimatesJson, renderEstimates } from "../render/estimate.ts";
import { renderOutcome } from "../render/lines.ts";
import { SendingCommand } from "../sending.ts";

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
  test = testFlag();
  provider = providerFlag();
  model = Option.Array("--model", { description: "The name of the model; give it again for further models" });
  baseUrl = baseUrlsFlag();
  sampleSize = sampleSizeFlag();
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
    const [{ loadConfigs }, { chooseModels }, { estimateRuns }, { preparePilots }, { withoutRepeats }] =
      await Promise.all([
        import("../../config/load.ts"),
        import("../../app/run/choose-models.ts"),
        import("../../app/estimate/estimate-runs.ts"),
        import("../../app/estimate/create-pilot.ts"),
        import("../../app/run/prepare-run.ts"),
      ]);
    const configs = chooseModels(await loadConfigs(this.config), this.model ?? []);
    const { provider, baseUrl, sampleSize, test, fresh, maxCost: maxCostUsd, pilot: size, progress } = this;
    using known = await (size === undefined ? this.openIfThere() : this.openStore("pretend"));
    const reuse = fresh ? ("none" as const) : ("same" as const);
    const overrides = { provider, baseUrl, sampleSize, maxCostUsd, test };
    const options = { overrides, reuse, onEvent: withoutRepeats(progress.onEvent) };
    const confirm = this.yes ? undefined : this.confirmPlan;
    const prepared = size === undefined ? null : await preparePilots(known, configs, size, { ...options, confirm });
    // A command that fails before this creates no database.
    using store = prepared && known.isPretended ? await this.openStore() : known;
    const pilots = prepared ? await this.runPilots(store, prepared) : [];
    const estimates = await estimateRuns(store, configs, { ...options, pilots: pilots.map(({ id }) => id) });
    progress.end();
    if (this.json) this.printJson(estimatesJson(estimates));
    else this.print(renderEstimates(estimates, this.width));
    return pilots.some(({ calls }) => calls.failed > 0) ? EXIT.someFailed : EXIT.done;
  }

  /** Runs the pilots of all models side by side, with one cap. */
  private async runPilots(store: Store, prepared: PreparedPilots): Promise<RunSummary[]> {
    const [{ planPilots }, { executeRuns }, { labelsOf }] = await Promise.all([
      import("../../app/estimate/create-pilot.ts"),
      import("../../app/run/execute-runs.ts"),
      import("../render/runs.ts"),
    ]);
    const planned = await planPilots(store, prepared);
    const { onEvent, label, end } = this.progress;
    label(labelsOf(planned));
    const executed = await this.interruptibly(planned.name, async (signal) => {
      const all = await executeRuns(store, planned, { signal, onEvent });
      const stopped = all.find(({ error }) => error !== undefined);
      if (stopped) throw stopped.error;
      return all;
    });
    label(new Map());
    end();
    for (const { run } of executed) this.warn(renderOutcome(run));
    return executed.map(({ run }) => run);
  }

  protected override resumeCommand(id: string, flags = ""): string {
    return this.commandLine(["resume", id, flags, "--no-export"].filter(Boolean).join(" "));
  }
}
