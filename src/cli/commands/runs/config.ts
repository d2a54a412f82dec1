import { Command, Option } from "clipanion";
import { DatagenCommand, RUN_DESCRIPTION } from "../../command.ts";

export class RunsConfigCommand extends DatagenCommand {
  static override paths = [["runs", "config"]];
  static override usage = Command.Usage({
    category: "Runs",
    description: "Print the config that makes a run again",
    details: `
      ${RUN_DESCRIPTION}

      It is the config of the run with its defaults, with the flags that it was started with, and with the provider and
      the endpoint that were decided, so that a run of it makes the same calls. A base URL that came from the environment
      is not in it; stderr says how to set it.
    `,
    examples: [["Keep the config of the newest run", "datagen runs config latest > again.json"]],
  });

  run = Option.String({ name: "RUN" });

  async execute(): Promise<void> {
    const { runConfig } = await import("../../../app/runs/run-config.ts");
    using store = await this.openToRead();
    const config = runConfig(store, this.run, {
      onEvent: (event) => event.type === "warning" && this.warn(`Warning: ${event.message}`),
    });
    this.printJson(config);
  }
}
