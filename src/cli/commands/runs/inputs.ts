import { Command, Option } from "clipanion";
import { DatagenCommand, RUN_DESCRIPTION } from "../../command.ts";
import { compactLines, jsonLines } from "../../render/json.ts";

export class RunsInputsCommand extends DatagenCommand {
  static override paths = [["runs", "inputs"]];
  static override usage = Command.Usage({
    category: "Runs",
    description: "Print the inputs of a run, as a file that its config takes",
    details: `
      ${RUN_DESCRIPTION}

      The output is JSON Lines: an object with \`input\`, and with \`reference\` if there is one, for each input. To repeat a
      run elsewhere, keep its config and its inputs, and name the file of the inputs in \`data_config.input_data_path\`
      of the config. A run of that config makes the same calls. With \`--json\` the output is one JSON array.
    `,
    examples: [["Keep the inputs of the newest run", "datagen runs inputs latest > inputs.jsonl"]],
  });

  run = Option.String({ name: "RUN" });

  async execute(): Promise<void> {
    const { runInputs } = await import("../../../app/runs/run-inputs.ts");
    using store = await this.openToRead();
    const inputs = runInputs(store, this.run, {
      onEvent: this.onEvent,
    });
    await this.printLines(this.json ? jsonLines(inputs) : compactLines(inputs));
  }
}
