import { Command } from "clipanion";
import { showHelp } from "../help.ts";

/** `datagen db`: the commands in this folder. */
export class DbCommand extends Command {
  static override paths = [["db"]];
  static override usage = Command.Usage({
    category: "Database",
    description: "The commands for the database: backup, check, compact, merge",
    examples: [
      ["Check the database of this folder", "datagen db check"],
      ["Copy it while runs go on", "datagen db backup data/backup.db"],
      ["Give the space of deleted runs back to the disk", "datagen db compact"],
    ],
  });

  execute(): Promise<number> {
    return showHelp("db");
  }
}
