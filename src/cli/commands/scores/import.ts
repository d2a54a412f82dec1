import { Command, Option } from "clipanion";
import { DatagenCommand, RUNS_DESCRIPTION } from "../../command.ts";

export class ScoresImportCommand extends DatagenCommand {
  static override paths = [["scores", "import"]];
  static override usage = Command.Usage({
    category: "Data",
    description: "Give the cells of a run the scores of a file",
    details: `
      ${RUNS_DESCRIPTION}

      \`FILE\` is JSON Lines, JSON, CSV, TSV or Parquet. Each row names its cell with \`id\` or \`task\`, \`condition\` and
      \`replicate\` (1 if it is left out), as datasets in JSON Lines do. Of several runs, it also names \`run_id\` or
      \`model\`. Every other column with numbers is a score. Columns that datasets have are no scores, so that \`FILE\` may be
      an exported dataset with more columns.

      The whole file is checked before anything is written. Scores of the same names are replaced; nothing else of the run
      changes. Datasets in jsonl, csv, parquet and hf have a column for each score from then on. If a cell gets another
      answer later, it loses its scores.
    `,
    examples: [
      ["Scores of the newest run", "datagen scores import latest bertscore.csv"],
      ["A dataset with a column for each score", "datagen scores import latest scored.jsonl"],
    ],
  });

  run = Option.String({ name: "RUN" });
  file = Option.String({ name: "FILE" });

  async execute(): Promise<void> {
    const [{ importScores }, { renderImportedScores }] = await Promise.all([
      import("../../../app/scores/import-scores.ts"),
      import("../../render/scores/import.ts"),
    ]);
    using store = await this.openStore("refuse");
    const imported = await importScores(store, this.run, this.file, { onEvent: this.onEvent });
    if (this.json) this.printJson(imported);
    else this.print(renderImportedScores(imported));
  }
}
