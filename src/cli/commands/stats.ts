import { Command, Option } from "clipanion";
import { isEnum } from "typanion";
import type { ModelStatistics, RunStatistics } from "../../app/stats/run-statistics.ts";
import { UsageError } from "../../errors.ts";
import { DatagenCommand, RUNS_DESCRIPTION } from "../command.ts";
import { growYoungGeneration } from "../memory.ts";
import { jsonLines } from "../render/json.ts";

const GROUPS = ["condition", "kind", "model"] as const;

export class StatsCommand extends DatagenCommand {
  static override paths = [["stats"]];
  static override usage = Command.Usage({
    category: "Data",
    description: "Measure the answers of runs: lengths, variety, copies, and overlap with the references",
    details: `
      ${RUNS_DESCRIPTION}

      All figures are computed on this machine, and no model is asked. docs/statistics.md says how each is defined, and how
      to read it. A kind is what stands before the colon of a condition, or what \`kinds\` in the config names. With
      \`--by model\`, all answers of all runs of a model are measured together.

      The tables have the figures that are read most. \`--json\` and \`--csv\` have all of them, with 95% intervals;
      \`--json\` also says in a signature how each was made.

      \`--suspects\` lists answers that may be wrong instead: far shorter than the others of their condition, equal to the
      input or the reference, the same for many inputs, in another script than the others, or with words that mark a
      refusal or an assistant's chatter. \`datagen show RUN --input N\` shows one of them whole.

      What is computed of single answers is kept in \`DATABASE.features\`, so that it is computed once. Delete that file at
      any time.
    `,
    examples: [
      ["The newest run", "datagen stats latest"],
      ["Kinds of conditions, compared with each other", "datagen stats latest --by kind"],
      ["Everything, for programs", "datagen stats latest --json"],
      ["A table for a spreadsheet", "datagen stats 7g4k latest --csv > statistics.csv"],
      ["Answers to look at", "datagen stats latest --suspects"],
    ],
  });

  runs = Option.Rest({ name: "RUN", required: 1 });
  by = Option.String("--by", {
    description: "condition, kind or model: what is shown and compared. Default: condition",
    validator: isEnum(GROUPS),
  });
  csv = Option.Boolean("--csv", false, { description: "Print a line of CSV for each group" });
  suspects = Option.Boolean("--suspects", false, { description: "List answers that may be wrong, and why" });

  async execute(): Promise<void> {
    const { csvOf, renderModels, renderRun, suspectLines, suspectCsv } = await import("../render/stats.ts");
    const { modelStatistics, statisticsOf } = await import("../../app/stats/run-statistics.ts");
    if (this.csv && this.json) throw new UsageError("--csv and --json are given", "Give one of them.");
    growYoungGeneration();
    using store = await this.openToRead();
    const { namedRuns } = await import("../../app/runs/named-runs.ts");
    const runs = this.runs.flatMap((name) => namedRuns(store, name).runs.map(({ id }) => id));
    const { by = "condition", json, csv, onEvent } = this;
    if (this.suspects) {
      const { findSuspects } = await import("../../app/stats/find-suspects.ts");
      const found = findSuspects(store, runs);
      await this.printLines(json ? jsonLines(found) : csv ? suspectCsv(found) : suspectLines(found, this.width));
      return;
    }
    const statistics: (RunStatistics | ModelStatistics)[] =
      by === "model"
        ? [await modelStatistics(store, runs, { onEvent })]
        : await statisticsOf(store, runs, { by, onEvent });
    const [only] = statistics;
    if (json) this.printJson(statistics.length === 1 ? only : statistics);
    else if (csv) await this.printLines(csvOf(statistics, by));
    else {
      const texts = statistics.map((each) =>
        "models" in each ? renderModels(each, this.width) : renderRun(each, by, this.width),
      );
      this.print(texts.join("\n\n"));
    }
  }
}
