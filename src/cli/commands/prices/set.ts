import { Command, Option } from "clipanion";
import { DatagenCommand } from "../../command.ts";
import { isNumber } from "../../number.ts";

export class PricesSetCommand extends DatagenCommand {
  static override paths = [["prices", "set"]];
  static override usage = Command.Usage({
    category: "Prices",
    description: "Set the price of a model, in US dollars per million tokens",
    details: `
      \`MODEL\` is the \`model_name\` of a config. With \`--base-url\` the price is for that server only; without, it is for
      every server that has no price set. The price is stored in the database. It overrides the listed price of a
      provider, and \`prices\` in a config overrides it. Runs that are planned later use it; earlier runs keep theirs.
    `,
    examples: [
      ["Your own server costs nothing", "datagen prices set llama3.2 --input 0 --output 0"],
      [
        "The same model somewhere else",
        "datagen prices set llama3.2 --input 0.06 --output 0.06 --base-url http://localhost:11434/v1",
      ],
      [
        "Cached prompts and batches at half the price",
        "datagen prices set gpt-4o-mini --input 0.15 --cached-input 0.075 --output 0.6 --batch-factor 0.5",
      ],
    ],
  });

  model = Option.String({ name: "MODEL" });
  input = Option.String("--input", { description: "The price of prompt tokens. Required", validator: isNumber() });
  output = Option.String("--output", {
    description: "The price of completion tokens, reasoning included. Required",
    validator: isNumber(),
  });
  cachedInput = Option.String("--cached-input", {
    description: "The price of prompt tokens read from the provider's cache. Default: the same as --input",
    validator: isNumber(),
  });
  cacheWrite = Option.String("--cache-write", {
    description: "The price of prompt tokens written to that cache. Default: the same as --input",
    validator: isNumber(),
  });
  batchFactor = Option.String("--batch-factor", {
    description: "The price of a batch request divided by that of a live one. Default: unknown",
    validator: isNumber(),
  });
  baseUrl = Option.String("--base-url", { description: "The server that the price is for. Default: any server" });

  async execute(): Promise<void> {
    const [{ setPrices }, { renderSetPrice }] = await Promise.all([
      import("../../../app/prices.ts"),
      import("../../render/prices.ts"),
    ]);
    const { model, baseUrl, input, output, cachedInput, cacheWrite, batchFactor } = this;
    using store = await this.openStore();
    const row = setPrices(store, {
      model,
      baseUrl,
      input,
      cached_input: cachedInput,
      cache_write: cacheWrite,
      output,
      batch_factor: batchFactor,
    });
    if (this.json) this.printJson(row);
    else this.warn(renderSetPrice(row));
  }
}
