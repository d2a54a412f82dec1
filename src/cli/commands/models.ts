import { Command, Option } from "clipanion";
import { isEnum } from "typanion";
import type { ListModelsEvent } from "../../app/models/list-models.ts";
import { PROVIDERS } from "../../config/providers.ts";
import { EXIT } from "../../errors.ts";
import { DatagenCommand } from "../command.ts";
import { renderError } from "../render/error.ts";

export class ModelsCommand extends DatagenCommand {
  static override paths = [["models"]];
  static override usage = Command.Usage({
    category: "Prices",
    description: "List the models of a server, with the prices and the limits that are known",
    details: `
      Asks a provider, or the server of \`--base-url\`, which models it has. Without either, asks every provider whose key is
      set. The first column is the \`model_name\` for a config.

      Prices are those that a run would use: your own, else those that datagen knows. If there are none, the prices that
      the server states are shown; a run does not use these.

      The provider's key goes to its own server, and to a server of \`--base-url\`. Nothing is stored.
    `,
    examples: [
      ["The models of OpenAI", "datagen models openai"],
      ["The models of your own server", "datagen models --base-url http://localhost:11434/v1"],
      ["The models of all providers whose key is set, as JSON", "datagen models --json"],
    ],
  });

  provider = Option.String({ name: "PROVIDER", required: false, validator: isEnum(PROVIDERS) });
  baseUrl = Option.String("--base-url", { description: "The base URL of a server, such as http://localhost:11434/v1" });

  async execute(): Promise<number> {
    const [{ listModels }, { renderModels }] = await Promise.all([
      import("../../app/models/list-models.ts"),
      import("../render/models.ts"),
    ]);
    using store = await this.openQuietly();
    let exitCode: number = EXIT.done;
    const onEvent = (event: ListModelsEvent) => {
      if (event.type === "warning") return this.onWarning(event.message);
      this.warn(renderError(event.error).text);
      exitCode = EXIT.someFailed;
    };
    const { provider, baseUrl } = this;
    const rows = await listModels(store, { provider, baseUrl, onEvent });
    if (this.json) this.printJson(rows);
    else this.print(renderModels(rows, this.width));
    return exitCode;
  }
}
