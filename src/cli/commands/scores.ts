import { Command } from "clipanion";
import { showHelp } from "../help.ts";

/** `datagen scores`: the commands in this folder. */
export class ScoresCommand extends Command {
  static override paths = [["scores"]];
  static override usage = Command.Usage({
    category: "Data",
    description: "The commands for scores that were computed elsewhere: import",
    examples: [["Scores of the newest run", "datagen scores import latest bertscore.csv"]],
  });

  execute(): Promise<number> {
    return showHelp("scores");
  }
}
