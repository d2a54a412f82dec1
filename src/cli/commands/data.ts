import { Command } from "clipanion";
import { showHelp } from "../help.ts";

/** `datagen data`: the commands in this folder. */
export class DataCommand extends Command {
  static override paths = [["data"]];
  static override usage = Command.Usage({
    category: "Data",
    description: "The commands for files of inputs: show, pull",
    examples: [
      ["What is in a file, and how a config reads it", "datagen data show articles.csv"],
      ["Pull a dataset of the Hugging Face Hub", "datagen data pull hf://knkarthick/dialogsum"],
    ],
  });

  execute(): Promise<number> {
    return showHelp("data");
  }
}
