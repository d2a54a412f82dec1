import { Command, Option } from "clipanion";
import { PlainCommand } from "../../command.ts";
import { interruptible } from "../../signals.ts";

export class DataPullCommand extends PlainCommand {
  static override paths = [["data", "pull"]];
  static override usage = Command.Usage({
    category: "Data",
    description: "Pull the Parquet files of a dataset from the Hugging Face Hub",
    details: `
      \`DATASET\` is \`hf://OWNER/NAME\` or \`hf://OWNER/NAME@REVISION\`. With a revision, these are the dataset's own Parquet
      files at that branch, tag or commit. Without one, they are its own files if it has Parquet files, and otherwise the
      files that the Hub has converted the dataset into.

      The files go to \`data/OWNER/NAME\`. A pull that was stopped continues with the same command, and files that are there
      already are not fetched again. It prints the \`data_config\` for a config. HF_TOKEN is needed only for private and
      gated datasets; HF_ENDPOINT names another Hub.
    `,
    examples: [
      ["All splits of a dataset with one config", "datagen data pull hf://knkarthick/dialogsum"],
      ["One config and one split", "datagen data pull hf://abisee/cnn_dailymail --config 3.0.0 --split test"],
      ["The files as they are at a tag or a commit", "datagen data pull hf://openai/gsm8k@main --config main"],
      ["As JSON, for programs", "datagen data pull hf://openai/gsm8k --config main --split test --json"],
    ],
  });

  dataset = Option.String({ name: "DATASET" });
  config = Option.String("--config", { description: "The config of the dataset, also called subset" });
  split = Option.String("--split", { description: "Only this split. Default: all splits" });
  output = Option.String("--output", { description: "The folder for the files. Default: data/OWNER/NAME" });

  async execute(): Promise<void> {
    const [{ pullDataset }, { createPullProgress, renderPulled }, { renderConfig }] = await Promise.all([
      import("../../../app/data/pull-dataset.ts"),
      import("../../render/data/pull.ts"),
      import("../../render/data/show.ts"),
    ]);
    const { config, split, output } = this;
    const progress = createPullProgress(this.context.stderr);
    const pull = await interruptible(
      (signal) => pullDataset(this.dataset, { config, split, output, signal, onEvent: progress.onEvent }),
      {
        first: () => this.warn("Stopping: what is here is kept. Press Ctrl-C again to end at once."),
        second: () => this.warn("Ended."),
      },
    ).finally(() => progress.end());
    const { files, data_config, dataset, revision, commit, license } = pull;
    if (this.json) this.printJson({ files, data_config, dataset, revision, commit, license });
    else {
      this.warn(renderPulled(pull));
      this.print(renderConfig(data_config));
    }
  }
}
