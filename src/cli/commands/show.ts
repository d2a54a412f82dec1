import { Command, Option } from "clipanion";
import { DatagenCommand, RUNS_DESCRIPTION } from "../command.ts";

export class ShowCommand extends DatagenCommand {
  static override paths = [["show"]];
  static override usage = Command.Usage({
    category: "Data",
    description: "Show what the model said for one input under each condition, beside the reference",
    details: `
      ${RUNS_DESCRIPTION}

      \`--input\` is the row of the input file, from 0: the \`task\` of JSON Lines. Other text is searched in the inputs, in
      upper or lower case, and the first input that has it is shown. Without the flag it is the first input.

      \`--prompt\` also shows the messages that each answer was asked with. \`--attempts\` also shows each request that this
      run sent, and where the answer came from. An answer of another run names that run. \`--json\` has the names of JSON
      Lines, and all texts in full.
    `,
    examples: [
      ["The first input of the newest run", "datagen show latest"],
      [
        "An input by a word of it, under the conditions that begin so",
        "datagen show latest --input Bus --condition Faithful",
      ],
      ["With everything that was sent", "datagen show latest --input 2 --prompt --attempts"],
    ],
  });

  run = Option.String({ name: "RUN" });
  input = Option.String("--input", {
    description: "The row of the input, from 0, or a text that it has. Default: the first",
  });
  condition = Option.String("--condition", { description: "Only this condition, or those that begin so" });
  prompt = Option.Boolean("--prompt", false, { description: "Show the messages that were sent" });
  attempts = Option.Boolean("--attempts", false, { description: "Show each request, and where the answer came from" });

  async execute(): Promise<void> {
    const [{ showAnswers }, { namedRuns }, { renderAnswers }] = await Promise.all([
      import("../../app/runs/show-answers.ts"),
      import("../../app/runs/named-runs.ts"),
      import("../render/show.ts"),
    ]);
    using store = await this.openToRead();
    const { condition, prompt: withPrompts, attempts: withAttempts } = this;
    const input = this.input !== undefined && /^\d{1,15}$/.test(this.input) ? Number(this.input) : this.input;
    const { experiment, runs } = namedRuns(store, this.run);
    const shown = runs.map(({ id }) => showAnswers(store, id, { input, condition, withPrompts, withAttempts }));
    if (this.json) this.printJson(experiment === null ? shown[0] : { experiment, runs: shown });
    else this.print(shown.map((one) => renderAnswers(one, this.width)).join("\n\n"));
  }
}
