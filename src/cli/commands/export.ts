import { Command, Option } from "clipanion";
import { isEnum } from "typanion";
import { FORMATS } from "../../export/formats.ts";
import { DatagenCommand, RUN_DESCRIPTION } from "../command.ts";
import { printable, printableJson } from "../render/text.ts";
import { interruptible } from "../signals.ts";

export class ExportCommand extends DatagenCommand {
  static override paths = [["export"]];
  static override usage = Command.Usage({
    category: "Data",
    description: "Render the dataset of a run from its rows",
    details: `
      ${RUN_DESCRIPTION}

      \`json\` is the documented dataset. \`jsonl\` and \`csv\` have a line for each task and perspective, with tokens and
      finish reason. The same run gives the same bytes every time. Failed calls have no response. While calls are
      pending, \`--allow-partial\` is needed.
    `,
    examples: [
      ["The dataset of the newest run, into data/agents", "datagen export latest"],
      ["As a table for a spreadsheet", "datagen export latest --format csv --output dataset.csv"],
      ["Into a pipe", "datagen export latest --format jsonl --output - | head -n 1"],
    ],
  });

  run = Option.String({ name: "RUN" });
  output = Option.String("--output,-o", {
    description: "A file, a folder that exists, or - for stdout. Default: data/agents",
  });
  format = Option.String("--format", {
    description: "json, jsonl or csv. Default: by the ending of --output, else json",
    validator: isEnum(FORMATS),
  });
  allowPartial = Option.Boolean("--allow-partial", false, { description: "Export although calls are pending" });

  async execute(): Promise<void> {
    const [{ exportRun, renderRun }, { showSummary }] = await Promise.all([
      import("../../app/export-run.ts"),
      import("../../app/show-run.ts"),
    ]);
    using store = await this.openToRead();
    const { format, allowPartial } = this;
    const run = showSummary(store, this.run);
    if (this.output === "-" || this.output === "/dev/stdout") {
      const isTerminal = (this.context.stdout as NodeJS.WriteStream).isTTY;
      const { pipeline } = await import("node:stream/promises");
      const clean = format === "csv" ? printable : printableJson;
      const shown = async function* (pieces: AsyncIterable<string>) {
        for await (const piece of pieces) yield isTerminal ? clean(piece) : piece;
      };
      await pipeline(renderRun(store, this.run, { format, allowPartial }), shown, this.context.stdout, { end: false });
      this.warnOfGaps(run);
      return;
    }
    const options = { output: this.output, format, allowPartial };
    const dataset = await interruptible((signal) => exportRun(store, this.run, { ...options, signal }), {
      first: () => this.warn("Stopping: the export ends, and its part is removed. Once more ends at once."),
      second: () => this.warn("Ended."),
    });
    this.warnOfGaps(run);
    if (this.json) this.printJson({ run, dataset });
    else this.print(dataset);
  }
}
