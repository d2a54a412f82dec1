import { Command, Option } from "clipanion";
import type { ImportDatasetOptions } from "../../app/dataset/import-dataset.ts";
import { providerFlag } from "../flags.ts";
import { DatagenCommand } from "../command.ts";
import { renderImported } from "../render/lines.ts";

export class ImportCommand extends DatagenCommand {
  static override paths = [["import"]];
  static override usage = Command.Usage({
    category: "Data",
    description: "Import a dataset as a run, so that later runs reuse its answers",
    details: `
      \`FILE\` is a dataset of the documented format, written by \`datagen export\` or the reference pipeline. The whole
      file is checked before anything is written. No request is sent: each answer in the file becomes the answer of its
      call. If the file has an error text or nothing instead of an answer, the call has failed; \`datagen resume RUN
      --retry-failed\` sends these calls. The run's id is printed on stdout.

      A later call reuses an answer only if it asks the same model at the same server. \`--provider\`, \`--model\` and
      \`--base-url\` name these if the file does not. The type of the task comes from the file, else from its
      description or its name, else from \`--task-type\`.
    `,
    examples: [
      ["A dataset that was made elsewhere", "datagen import old/translation.json"],
      ["With a label for lists", "datagen import old/translation.json --name pilot"],
      [
        "A dataset whose answers came from your own server",
        "datagen import old/translation.json --base-url http://localhost:11434/v1",
      ],
    ],
  });

  file = Option.String({ name: "FILE" });
  provider = providerFlag("Who answered");
  model = Option.String("--model", { description: "The model that answered" });
  baseUrl = Option.String("--base-url", { description: "The base URL of the server that answered" });
  taskType = Option.String("--task-type", {
    description: "The type of the task, such as translation, if the file does not say it",
  });
  name = Option.String("--name", { description: "A label for the run in lists" });

  async execute(): Promise<void> {
    const [{ checkImport, writeImport }, { showSummary }] = await Promise.all([
      import("../../app/dataset/import-dataset.ts"),
      import("../../app/runs/show-run.ts"),
    ]);
    const { provider, model, baseUrl, taskType, name } = this;
    const options: ImportDatasetOptions = {
      provider,
      model,
      baseUrl,
      taskType,
      name,
      onEvent: this.onEvent,
    };
    using known = await this.openStore("pretend");
    const checked = await checkImport(known, this.file, options);
    // A command that fails before this creates no database.
    using store = known.isPretended ? await this.openStore() : known;
    const id = await writeImport(store, checked, options);
    const run = showSummary(store, id);
    this.warn(renderImported(run));
    if (run.calls.failed > 0)
      this.warn(`\`${this.commandLine(`resume ${id} --retry-failed`)}\` sends the failed calls.`);
    if (this.json) this.printJson({ run });
    else this.print(id);
  }
}
