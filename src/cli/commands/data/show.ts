import { Command, Option } from "clipanion";
import { PlainCommand } from "../../command.ts";
import { parseFields } from "../../fields.ts";

export class DataShowCommand extends PlainCommand {
  static override paths = [["data", "show"]];
  static override usage = Command.Usage({
    category: "Data",
    description: "Show what is in files of inputs, and the data_config that reads them",
    details: `
      \`PATH\` is a file in JSON, JSON Lines, CSV, TSV or Parquet, or a pattern such as \`"train-*.parquet"\`. Text files may
      be compressed with gzip: \`articles.csv.gz\`. Files are read to their end, once.

      The columns of the inputs and of the references are proposed by their names, such as \`article\` and \`highlights\`;
      \`--fields\` chooses others. A path with dots leads into objects: \`translation.de\`.

      With \`--json\`: \`files\` with the path, the format and the rows of each; \`rows\` of all; \`bad_rows\`, the \`count\` of
      rows that cannot be read and the \`first\` of them; \`columns\`, each with its \`name\`, its \`type\`, the number of rows
      in which it is \`filled\`, the \`first_missing\` row, \`mean_characters\` and \`longest_characters\` of its texts, and
      \`examples\`; \`has_more_columns\` beyond 500; \`data_config\`, or null if no column has texts; and \`chosen_by\`: how
      its columns were found, by \`fields\`, \`names\` or \`lengths\`.
    `,
    examples: [
      ["What is in a file", "datagen data show articles.csv"],
      ["With other columns", "datagen data show articles.csv --fields input=article,reference=highlights"],
      ["Several files", 'datagen data show "data/train-*.jsonl"'],
      ["As JSON, for programs", "datagen data show articles.csv --json"],
    ],
  });

  files = Option.Rest({ name: "PATH", required: 1 });
  fields = Option.String("--fields", { description: "The columns to use: input=COLUMN,reference=COLUMN,id=COLUMN" });

  async execute(): Promise<void> {
    const fields = this.fields === undefined ? undefined : parseFields(this.fields);
    const [{ showData }, { renderData }] = await Promise.all([
      import("../../../app/data/show-data.ts"),
      import("../../render/data/show.ts"),
    ]);
    const shown = await showData(this.files, { fields, onWarning: this.onWarning });
    if (this.json) this.printJson(shown);
    else this.print(renderData(shown, this.width));
  }
}
