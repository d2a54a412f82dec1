import { Command, Option } from "clipanion";
import { DatagenCommand } from "../../command.ts";

export class PricesListCommand extends DatagenCommand {
  static override paths = [["prices", "list"]];
  static override usage = Command.Usage({
    category: "Prices",
    description: "List what models cost, in US dollars per million tokens, with the age of each price",
    details: `
      With \`MODEL\`, lists only models whose names contain it. Your own prices come first.

      A run keeps the prices that it was planned with. If a model is not in the list, its price is unknown, and so is the
      cost of a run with it.
    `,
    examples: [
      ["All prices", "datagen prices list"],
      ["The prices of some models", "datagen prices list llama-3.3"],
      ["As JSON, for programs", "datagen prices list gpt-4o --json"],
    ],
  });

  model = Option.String({ name: "MODEL", required: false });

  async execute(): Promise<void> {
    const [{ listPrices }, { renderPrices }] = await Promise.all([
      import("../../../app/prices.ts"),
      import("../../render/prices.ts"),
    ]);
    using store = await this.openIfThere();
    const rows = await listPrices(store, this.model);
    if (this.json) this.printJson(rows);
    else this.print(renderPrices(rows, this.width));
  }
}
