import { Command, Option } from "clipanion";
import { DatagenCommand } from "../command.ts";
import { isCount } from "../number.ts";

export class DiffCommand extends DatagenCommand {
  static override paths = [["diff"]];
  static override usage = Command.Usage({
    category: "Data",
    description: "Compare two runs: configs, and the responses to the inputs that both have",
    details: `
      \`A\` and \`B\` are run ids, prefixes that no other run has, or \`latest\`. Responses are matched by the text of their
      input, by condition and by replicate, never by position. Inputs with the same text are matched in the order of the
      files.

      Each condition has a line for A and one for B. \`COMPARED\` is the number of responses that both runs have, out of
      the number that both should have. \`SAME\` is the share of these with the same text. \`CHARS\` and \`TOKENS\` are the
      mean lengths of the compared responses. \`PROMPT\` and \`COST\` are sums, \`LATENCY\` is the median of the requests;
      these three include the notes.

      \`--show\` puts the pairs that differ most side by side. The difference is 1 − the Dice similarity of their words:
      twice the words that they share, divided by all words of both. Case, punctuation and order make no difference.
    `,
    examples: [
      ["What changed from an earlier run to the newest", "datagen diff 7g4k latest"],
      ["With the three most different pairs of responses", "datagen diff 7g4k latest --show 3"],
      ["As JSON, for programs", "datagen diff 7g4k latest --json"],
    ],
  });

  a = Option.String({ name: "A" });
  b = Option.String({ name: "B" });
  show = Option.String("--show", {
    description: "Show this many of the most different pairs of responses",
    validator: isCount(),
  });

  async execute(): Promise<void> {
    const [{ diffRuns }, { renderDiff }] = await Promise.all([
      import("../../app/diff/diff-runs.ts"),
      import("../render/diff.ts"),
    ]);
    using store = await this.openToRead();
    const diff = diffRuns(store, this.a, this.b, { show: this.show });
    if (this.json) this.printJson(diff);
    else this.print(renderDiff(diff, this.width));
  }
}
