import { Command, Option } from "clipanion";
import { isEnum } from "typanion";
import type { Format } from "../../export/formats.ts";
import type { ExportedRuns } from "../../app/dataset/export-runs.ts";
import type { RunSummary } from "../../app/runs/summary.ts";
import { UsageError } from "../../errors.ts";
import { RUNS_DESCRIPTION } from "../command.ts";
import { isCount } from "../number.ts";
import { EXPORT_FORMATS, isStdout, PageExportCommand } from "../page-export.ts";
import { exportedJson } from "../render/runs.ts";
import { either, printable, printableJson } from "../render/text.ts";

export class ExportCommand extends PageExportCommand {
  static override paths = [["export"]];
  static override usage = Command.Usage({
    category: "Data",
    description: "Write the dataset of a run, or of several, again from the database",
    details: `
      ${RUNS_DESCRIPTION}

      \`json\` is the documented dataset. \`jsonl\`, \`csv\` and \`parquet\` have a row for each task and perspective, with
      tokens, cost and finish reason; they take several runs, one after the other. \`hf\` is a folder for the Hugging Face
      Hub, with Parquet files and a card: \`--output\` names it. In \`json\` each run of an experiment has a file of its own,
      and \`--output\` is a folder. The same run gives the same bytes every time. Failed calls have no response. While calls are
      pending, \`--allow-partial\` is needed.

      \`html\` is a page for people, as \`datagen view --export\` writes it.

      Programs of the reference pipeline fail on missing responses, treat replicates as more perspectives, and may not
      read files as UTF-8. \`--complete-only\`, \`--replicate\` and \`--ascii\` write files that they can read.

      Use \`--csv-safe\` for a CSV file that will be opened in Excel, LibreOffice or Google Sheets. They would compute a
      response that begins with =, +, - or @ as a formula, which can send data elsewhere. \`--csv-safe\` puts an
      apostrophe before such a response and a byte order mark at the start of the file, and warns of cells that are too
      long for a spreadsheet. Leave it out for other programs.
    `,
    examples: [
      ["The dataset of the newest run, into data/agents", "datagen export latest"],
      ["As a table for a spreadsheet", "datagen export latest --format csv --csv-safe --output dataset.csv"],
      ["For programs of the reference pipeline", "datagen export latest --complete-only --replicate 1 --ascii"],
      ["A folder for the Hugging Face Hub", "datagen export latest --format hf --output my-dataset"],
      ["A page to look at, in one file", "datagen export latest --format html"],
      ["Two runs in one file", "datagen export 7g4k latest --format csv --output both.csv"],
      ["Into a pipe", "datagen export latest --format jsonl --output - | head -n 1"],
    ],
  });

  runs = Option.Rest({ name: "RUN", required: 1 });
  output = Option.String("--output,-o", {
    description: "A file, a folder that exists, or - for stdout. Default: data/agents",
  });
  format = Option.String("--format", {
    description: `${either(EXPORT_FORMATS)}. Default: the extension of --output, else json`,
    validator: isEnum(EXPORT_FORMATS),
  });
  allowPartial = Option.Boolean("--allow-partial", false, { description: "Export even while calls are pending" });
  completeOnly = Option.Boolean("--complete-only", false, {
    description: "Leave out inputs with a missing response, and say how many",
  });
  replicate = Option.String("--replicate", {
    description: "Write only this replicate of each perspective, from 1",
    validator: isCount(),
  });
  ascii = Option.Boolean("--ascii", false, { description: "Escape every character outside ASCII, in json and jsonl" });
  csvSafe = Option.Boolean("--csv-safe", false, { description: "Write CSV that is safe to open in a spreadsheet" });
  replaceSurrogates = Option.Boolean("--replace-surrogates", false, {
    description: "Write U+FFFD for each lone surrogate",
  });

  async execute(): Promise<void> {
    const { format = /\.html$/i.test(this.output ?? "") ? "html" : undefined } = this;
    if (format === "html") await this.#writePage();
    else if (format === "hf") await this.#writeFolder();
    else await this.#writeDataset(format);
  }

  async #writePage(): Promise<void> {
    const { completeOnly, replicate, ascii, csvSafe, replaceSurrogates, output } = this;
    const [run = "", ...others] = this.runs;
    if (others.length > 0) {
      throw new UsageError(`a page has one run, and ${this.runs.length} are given`, "Export each run alone.");
    }
    if (completeOnly || replicate !== undefined || ascii || csvSafe || replaceSurrogates) {
      throw new UsageError(
        "--complete-only, --replicate, --ascii, --csv-safe and --replace-surrogates are for datasets, not for html",
        "Leave them out, or name another --format.",
      );
    }
    await this.exportPage(run, output);
  }

  async #writeFolder(): Promise<void> {
    const { ascii, csvSafe, ...options } = this.#options();
    const { output } = this;
    if (output === undefined) throw new UsageError("the format hf needs a folder", "Name it with --output.");
    if (ascii || csvSafe) {
      throw new UsageError("--ascii and --csv-safe are not for hf, whose files are Parquet", "Leave them out.");
    }
    const [{ exportFolder }, { namedRuns }] = await Promise.all([
      import("../../app/dataset/export-folder.ts"),
      import("../../app/runs/named-runs.ts"),
    ]);
    using store = await this.openToRead();
    const runs = this.runs.flatMap((run) => namedRuns(store, run).runs);
    const ids = runs.map(({ id }) => id);
    const dataset = await this.exporting((signal) => exportFolder(store, ids, { ...options, output, signal }));
    this.#report({ experiment: null, runs, datasets: [dataset] });
  }

  async #writeDataset(format: Format | undefined): Promise<void> {
    const [{ renderRun }, { exportRuns }, { namedRuns }, { renderers }] = await Promise.all([
      import("../../app/dataset/export-run.ts"),
      import("../../app/dataset/export-runs.ts"),
      import("../../app/runs/named-runs.ts"),
      import("../../export/index.ts"),
    ]);
    using store = await this.openToRead();
    const { output } = this;
    const options = { format, ...this.#options() };
    const found = this.runs.map((run) => namedRuns(store, run));
    if (isStdout(output)) {
      const runs = found.flatMap((one) => one.runs);
      const ids = runs.map(({ id }) => id);
      const clean = renderers[format ?? "json"].isJson ? printableJson : printable;
      await this.pipeToStdout(renderRun(store, ids, options), clean);
      this.#warnOfGaps(runs);
      return;
    }
    this.#report(await this.exporting((signal) => exportRuns(store, found, { ...options, output, signal })));
  }

  #warnOfGaps(runs: readonly RunSummary[]): void {
    for (const run of runs) this.warnOfGaps(run, !this.completeOnly);
  }

  #report(exported: ExportedRuns): void {
    this.#warnOfGaps(exported.runs);
    if (this.json) this.printJson(exportedJson(exported));
    else this.print(exported.datasets.join("\n"));
  }

  #options() {
    const { allowPartial, completeOnly, replicate, ascii, csvSafe, replaceSurrogates, onEvent } = this;
    return { allowPartial, completeOnly, replicate, ascii, csvSafe, replaceSurrogates, onEvent };
  }
}
