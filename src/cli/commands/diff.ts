import { Command, Option } from "clipanion";
import type { RunStatistics } from "../../app/stats/run-statistics.ts";
import type { Store } from "../../store/file/store.ts";
import { DatagenCommand, RUNS_DESCRIPTION } from "../command.ts";
import { isCount } from "../number.ts";

export class DiffCommand extends DatagenCommand {
  static override paths = [["diff"]];
  static override usage = Command.Usage({
    category: "Data",
    description: "Compare two or more runs: configs, and the responses to the inputs that all have",
    details: `
      Name from 2 to 20 runs. ${RUNS_DESCRIPTION} The runs are called A, B, C and so on, in this order. Responses are matched
      by the text of their input, by condition and by replicate, never by position. Inputs with the same text are matched
      in the order of the files. If all inputs of all runs have ids, inputs are matched by these.

      Each condition has a line for every run. \`COMPARED\` is the number of responses that all runs have, out of the number
      that all should have. \`SAME\` is the share of these with the same text; of more than two runs, \`SAME AS A\` is the
      share with the text of the first run. \`CHARS\` and \`TOKENS\` are the mean lengths of the compared responses.
      \`PROMPT\` and \`COST\` are sums, \`LATENCY\` is the median of the requests; these three include the notes.

      \`--show\` prints the responses to the inputs and conditions where they differ most. The difference of two responses
      is 1 − the Dice similarity of their words: twice the words that they share, divided by all words of both. Case,
      punctuation and order make no difference. Of more than two runs, the mean over all pairs counts.

      \`--stats\` adds the figures of \`datagen stats\` for each run, of all its answers. They take longer to compute.
    `,
    examples: [
      ["What changed from an earlier run to the newest", "datagen diff 7g4k latest"],
      ["With the three most different pairs of responses", "datagen diff 7g4k latest --show 3"],
      ["Three runs side by side", "datagen diff 7g4k c2xm latest"],
      ["With the quality of the texts of each run", "datagen diff 7g4k latest --stats"],
      ["As JSON, for programs", "datagen diff 7g4k latest --json"],
    ],
  });

  runs = Option.Rest({ name: "RUN", required: 1 });
  show = Option.String("--show", {
    description: "Show the responses to this many of the inputs and conditions where they differ most",
    validator: isCount(),
  });

  stats = Option.Boolean("--stats", false, { description: "Add the statistics of the responses of each run" });

  async execute(): Promise<void> {
    const [{ diffSeveralRuns }, { asPair }, { letter, renderDiff }] = await Promise.all([
      import("../../app/diff/diff-several-runs.ts"),
      import("../../app/diff/diff-runs.ts"),
      import("../render/diff.ts"),
    ]);
    using store = await this.openToRead();
    const diff = diffSeveralRuns(store, this.runs, { show: this.show });
    const statistics = this.stats ? await this.statisticsOf(store, diff.runs) : null;
    const value = diff.runs.length === 2 ? asPair(diff) : diff;
    if (this.json) {
      this.printJson(statistics ? { ...value, statistics } : value);
      return;
    }
    const texts = [renderDiff(diff, this.width)];
    if (statistics) {
      const { renderSideBySide } = await import("../render/stats.ts");
      const named = statistics.map((own, at) => ({ name: letter(at), statistics: own }));
      texts.push(renderSideBySide(named, this.width));
    }
    this.print(texts.join("\n\n"));
  }

  /** The figures of each run, in the order of the runs. */
  private async statisticsOf(store: Store, runs: readonly { id: string }[]): Promise<RunStatistics[]> {
    const { statisticsOf } = await import("../../app/stats/run-statistics.ts");
    const found = await statisticsOf(store, [...new Set(runs.map(({ id }) => id))], { onEvent: this.onEvent });
    return runs.flatMap(({ id }) => found.find(({ run }) => run === id) ?? []);
  }
}
