import { Command } from "clipanion";
import { showHelp } from "../help.ts";

/** `datagen runs`: the commands in this folder. */
export class RunsCommand extends Command {
  static override paths = [["runs"]];
  static override usage = Command.Usage({
    category: "Runs",
    description: "The commands for runs: list, show, config, inputs, cancel, delete, reprice",
    examples: [
      ["All runs, the newest first", "datagen runs list"],
      ["The newest run in detail", "datagen runs show latest"],
      ["Keep the config of the newest run", "datagen runs config latest > again.json"],
      ["Keep its inputs", "datagen runs inputs latest > inputs.jsonl"],
      ["Remove the newest run without being asked", "datagen runs delete latest --yes"],
    ],
  });

  execute(): Promise<number> {
    return showHelp("runs");
  }
}
