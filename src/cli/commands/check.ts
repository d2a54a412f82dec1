import { Command, Option } from "clipanion";
import type { CheckEvent } from "../../app/check/check-config.ts";
import { EXIT } from "../../errors.ts";
import { baseUrlsFlag, providerFlag } from "../flags.ts";
import { DatagenCommand } from "../command.ts";

export class CheckCommand extends DatagenCommand {
  static override paths = [["check"]];
  static override usage = Command.Usage({
    category: "Data",
    description: "Send a short request to each server of a config, to see whether a run would work",
    details: `
      Each server of each model gets one short request with the parameters of the config. The command shows whether the key
      is accepted and the model known, how long the answer took, whether usage is reported, which rate limits the headers
      state, and whether the server takes batches: for that it asks for the newest batch.

      If the model refuses a parameter, a few more requests find out which one, at most 8 for a set of parameters. What to
      write instead is printed as a part of the config.

      The requests may cost a little: the command says so before, and what they cost after. Nothing is stored, and the inputs
      are not read; \`datagen estimate\` does that.

      Exit codes: 0 a run would work, 1 it would not, 2 something is wrong with the command or the config, or a key is
      missing.
    `,
    examples: [
      ["Whether the servers of a config answer", "datagen check my_study.json"],
      [
        "The same for your own server",
        "datagen check my_study.json --base-url http://localhost:11434/v1 --model llama3.2",
      ],
      ["As JSON, for programs", "datagen check my_study.json --json"],
    ],
  });

  config = Option.String({ name: "CONFIG" });
  provider = providerFlag();
  model = Option.Array("--model", { description: "The name of the model; give it again for further models" });
  baseUrl = baseUrlsFlag();

  async execute(): Promise<number> {
    const [{ loadConfigs }, { chooseModels }, { checkConfigs }, { renderCheck, renderCheckEvent }] = await Promise.all([
      import("../../config/load.ts"),
      import("../../app/run/choose-models.ts"),
      import("../../app/check/check-config.ts"),
      import("../render/check.ts"),
    ]);
    const loaded = await loadConfigs(this.config);
    const configs = chooseModels(loaded, this.model ?? []);
    const { provider, baseUrl } = this;
    using store = await this.openQuietly();
    const result = await checkConfigs(store, configs, {
      overrides: { provider, baseUrl },
      areEntries: loaded.length > 1,
      onEvent: (event: CheckEvent) => this.warn(renderCheckEvent(event)),
    });
    if (this.json) this.printJson(result);
    else this.print(renderCheck(result));
    return result.ok ? EXIT.done : EXIT.someFailed;
  }
}
