import { Command } from "clipanion";
import { showHelp } from "../help.ts";

/** `datagen prices`: the commands in this folder. */
export class PricesCommand extends Command {
  static override paths = [["prices"]];
  static override usage = Command.Usage({
    category: "Prices",
    description: "The commands for prices: list, set, unset",
    examples: [
      ["The price of one model", "datagen prices list gpt-4o-mini"],
      ["Your own server costs nothing", "datagen prices set llama3.2 --input 0 --output 0"],
    ],
  });

  execute(): Promise<number> {
    return showHelp("prices");
  }
}
