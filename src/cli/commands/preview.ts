import { Command, Option } from "clipanion";
import { DatagenCommand } from "../command.ts";
import { isCount } from "../number.ts";

export class PreviewCommand extends DatagenCommand {
  static override paths = [["preview"]];
  static override usage = Command.Usage({
    category: "Data",
    description: "Show the exact messages that a config would send, with their tokens",
    details: `
      Shows every call of the first inputs: its messages and their tokens. Nothing is sent, nothing is written, and no API
      key is needed. Where a strategy works on notes that are not there yet, \`[notes]\` stands in their place. Notes that an
      earlier run has are shown, and calls that reuse an earlier answer say so. A config of several models shows those of
      each model.
    `,
    examples: [
      ["What the first input becomes", "datagen preview my_study.json"],
      ["The first three inputs, for programs", "datagen preview my_study.json --inputs 3 --json"],
    ],
  });

  config = Option.String({ name: "CONFIG" });
  inputs = Option.String("--inputs", { description: "How many inputs to show. Default: 1", validator: isCount() });

  async execute(): Promise<void> {
    const [{ loadConfigs }, { previewRun }, { renderPreview }] = await Promise.all([
      import("../../config/load.ts"),
      import("../../app/estimate/preview-run.ts"),
      import("../render/preview.ts"),
    ]);
    const configs = await loadConfigs(this.config);
    using store = await this.openQuietly();
    const previews = [];
    for (const config of configs) previews.push(await previewRun(store, config, { inputs: this.inputs }));
    if (this.json) this.printJson(previews.length === 1 ? previews[0] : previews);
    else this.print(previews.map((preview) => renderPreview(preview, this.width)).join("\n\n"));
  }
}
