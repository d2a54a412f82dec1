import { Command, Option } from "clipanion";
import type { Config } from "../../../config/schema.ts";
import { DatagenCommand, RUN_DESCRIPTION } from "../../command.ts";

/** Which keys choose from the original file, and so do not fit a file that has the inputs of the run only. */
function withoutChoices({ data_config: data }: Config): string {
  const choices = (["format", "fields", "where", "shuffle", "seed", "offset"] as const).filter(
    (key) => data[key] !== undefined,
  );
  return choices.length === 0 ? "" : ` (then remove ${choices.map((key) => `data_config.${key}`).join(", ")})`;
}

export class RunsConfigCommand extends DatagenCommand {
  static override paths = [["runs", "config"]];
  static override usage = Command.Usage({
    category: "Runs",
    description: "Print a config that repeats a run",
    details: `
      ${RUN_DESCRIPTION}

      The output is the config of the run, with all defaults, the flags that the run was started with, and the provider
      and endpoint that datagen chose. A run of this config makes the same calls. A base URL from the environment is not
      in it; stderr says how to set that. \`datagen runs inputs RUN\` prints the inputs of the run, for a machine that does
      not have their file.
    `,
    examples: [["Keep the config of the newest run", "datagen runs config latest > again.json"]],
  });

  run = Option.String({ name: "RUN" });

  async execute(): Promise<void> {
    const [{ runConfig }, { showSummary }] = await Promise.all([
      import("../../../app/runs/run-config.ts"),
      import("../../../app/runs/show-run.ts"),
    ]);
    using store = await this.openToRead();
    const config = runConfig(store, this.run, {
      onEvent: this.onEvent,
    });
    this.printJson(config);
    const inputs = this.commandLine(`runs inputs ${showSummary(store, this.run).id}`);
    this.warn(
      `Its inputs: \`${inputs} > inputs.jsonl\`; data_config.input_data_path names their file${withoutChoices(config)}.`,
    );
  }
}
