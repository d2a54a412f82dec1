import { Command, Option } from "clipanion";
import { PlainCommand, quoted } from "../command.ts";

export class InitCommand extends PlainCommand {
  static override paths = [["init"]];
  static override usage = Command.Usage({
    category: "Data",
    description: "Write a config with comments and a file of inputs, to begin an experiment",
    details: `
      Writes \`NAME.json\`, \`NAME.inputs.jsonl\` and \`datagen.schema.json\` into the current folder. \`NAME\` is \`datagen\`
      if you give none. The config can be run at once; then change its perspectives, its model and its inputs. With the
      schema, an editor checks and completes the config; several experiments in a folder share it. No file is replaced: if
      the config or the inputs exist, or another schema, nothing is written.
    `,
    examples: [
      ["datagen.json and its inputs", "datagen init"],
      ["my_study.json and its inputs", "datagen init my_study"],
    ],
  });

  name = Option.String({ name: "NAME", required: false });

  async execute(): Promise<void> {
    const { initExperiment } = await import("../../app/init-experiment.ts");
    const files = await initExperiment(this.name ?? "datagen");
    if (this.json) this.printJson(files);
    else this.print(Object.values(files).join("\n"));
    this.warn(`Try it without a model: datagen run ${quoted(files.config)} --provider offline`);
  }
}
