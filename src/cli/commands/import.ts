import { Command, Option } from "clipanion";
import { isEnum } from "typanion";
import { PROVIDERS } from "../../config/providers.ts";
import { DatagenCommand } from "../command.ts";
import { renderImported } from "../render/lines.ts";
import { either, oneLine } from "../render/text.ts";

export class ImportCommand extends DatagenCommand {
  static override paths = [["import"]];
  static override usage = Command.Usage({
    category: "Data",
    description: "Take a dataset in as a run, whose answers later runs reuse",
    details: `
      \`FILE\` is a dataset of the documented format, as \`datagen export\` or the reference pipeline wrote it. It is
      checked to the end before anything is written. Nothing is asked: an answer of the file is the answer of its call,
      and where the file has an error text or nothing, the call is failed; \`datagen resume RUN --retry-failed\` asks for
      those. The run's id is printed on stdout.

      What an answer can be reused for depends on where it came from. \`--provider\`, \`--model\` and \`--base-url\` say it
      where the file does not. The type of the task is what the file says, else what its description or its name says,
      else \`--task-type\`.
    `,
    examples: [
      ["A dataset that was made elsewhere", "datagen import old/translation.json"],
      ["With a label for lists", "datagen import old/translation.json --name pilot"],
      [
        "One whose answers came from a server of your own",
        "datagen import old/translation.json --base-url http://localhost:11434/v1",
      ],
    ],
  });

  file = Option.String({ name: "FILE" });
  provider = Option.String("--provider", {
    description: `Who answered: ${either(PROVIDERS)}`,
    validator: isEnum(PROVIDERS),
  });
  model = Option.String("--model", { description: "The model that answered" });
  baseUrl = Option.String("--base-url", { description: "The base URL of the server that answered" });
  taskType = Option.String("--task-type", {
    description: "The type of the task, such as translation, where the file does not say it",
  });
  name = Option.String("--name", { description: "A label for the run in lists" });

  async execute(): Promise<void> {
    const [{ importDataset }, { showSummary }] = await Promise.all([
      import("../../app/dataset/import-dataset.ts"),
      import("../../app/runs/show-run.ts"),
    ]);
    const { provider, model, baseUrl, taskType, name } = this;
    using store = await this.openStore();
    const id = await importDataset(store, this.file, {
      provider,
      model,
      baseUrl,
      taskType,
      name,
      onEvent: (event) => {
        if (event.type === "warning") this.warn(`Warning: ${oneLine(event.message)}`);
      },
    });
    const run = showSummary(store, id);
    this.warn(renderImported(run));
    if (run.calls.failed > 0) this.warn(`\`${this.commandLine(`resume ${id} --retry-failed`)}\` asks for what failed.`);
    if (this.json) this.printJson({ run });
    else this.print(id);
  }
}
