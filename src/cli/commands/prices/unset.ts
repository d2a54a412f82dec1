import { Command, Option } from "clipanion";
import { DatagenCommand } from "../../command.ts";

export class PricesUnsetCommand extends DatagenCommand {
  static override paths = [["prices", "unset"]];
  static override usage = Command.Usage({
    category: "Prices",
    description: "Remove a price that was set with `datagen prices set`",
    details: "Runs keep the prices that they were planned with.",
    examples: [
      ["The price for any server", "datagen prices unset llama3.2"],
      ["The price for one server", "datagen prices unset llama3.2 --base-url http://localhost:11434/v1"],
    ],
  });

  model = Option.String({ name: "MODEL" });
  baseUrl = Option.String("--base-url", { description: "The server that the price was set for. Default: any server" });

  async execute(): Promise<void> {
    const [{ unsetPrices }, { renderUnsetPrice }] = await Promise.all([
      import("../../../app/prices.ts"),
      import("../../render/prices.ts"),
    ]);
    using store = await this.openStore("refuse");
    const removed = unsetPrices(store, this.model, this.baseUrl);
    if (this.json) this.printJson({ removed });
    else this.warn(renderUnsetPrice(removed));
  }
}
