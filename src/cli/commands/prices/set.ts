import { Command, Option } from "clipanion";
import { DatagenCommand } from "../../command.ts";
import { isNumber } from "../../number.ts";

export class PricesSetCommand extends DatagenCommand {
  static override paths = [["prices", "set"]];
  static override usage = Command.Usage({
    category: "Prices",
    description: "Say what a model costs, in US dollars per million tokens",
    details: `
      \`MODEL\` is the name that configs have as \`model_name\`. With \`--base-url\` the price is for that server alone;
      without, for every server that has none of its own. It is kept in the database, counts before what a provider
      lists, and is frozen with the runs that are planned from then on. \`prices\` in a config counts before it.
    `,
    examples: [
      ["A server of your own costs nothing", "datagen prices set llama3.2 --input 0 --output 0"],
      [
        "The same model somewhere else",
        "datagen prices set llama3.2 --input 0.06 --output 0.06 --base-url http://localhost:11434/v1",
      ],
      [
        "With cheaper cached prompts, and batches at half the price",
        "datagen prices set gpt-4o-mini --input 0.15 --cached-input 0.075 --output 0.6 --batch-factor 0.5",
      ],
    ],
  });

  model = Option.String({ name: "MODEL" });
  input = Option.String("--input", { description: "Prompt tokens. Required", validator: isNumber() });
  output = Option.String("--output", {
    description: "Completion tokens, reasoning included. Required",
    validator: isNumber(),
  });
  cachedInput = Option.String("--cached-input", {
    description: "Prompt tokens that come from the provider's cache. Default: as --input",
    validator: isNumber(),
  });
  cacheWrite = Option.String("--cache-write", {
    description: "Prompt tokens that are written to its cache. Default: as --input",
    validator: isNumber(),
  });
  batchFactor = Option.String("--batch-factor", {
    description: "What a request in a batch costs in proportion to a live one. Default: unknown",
    validator: isNumber(),
  });
  baseUrl = Option.String("--base-url", { description: "The server that the price is for. Default: any" });

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
