import { Command, Option } from "clipanion";
import { RUN_DESCRIPTION } from "../command.ts";
import { ExecutionCommand } from "../execution.ts";

export class ResumeCommand extends ExecutionCommand {
  static override paths = [["resume"]];
  static override usage = Command.Usage({
    category: "Data",
    description: "Go on with a run: send what is not done, and export the dataset",
    details: `
      ${RUN_DESCRIPTION}

      Neither the config nor the inputs are read again: the run goes on as it was planned, and sends no call twice that
      has its answer.
    `,
    examples: [
      ["Go on with the newest run", "datagen resume latest"],
      ["Try its failed calls again, gently", "datagen resume latest --retry-failed --concurrency 4"],
    ],
  });

  run = Option.String({ name: "RUN" });
  retryFailed = Option.Boolean("--retry-failed", false, { description: "Also send the calls again that have failed" });

  async execute(): Promise<number> {
    const { showSummary } = await import("../../app/show-run.ts");
    using store = await this.openStore();
    await this.checkOutput();
    const { id } = showSummary(store, this.run);
    const { retryFailed, concurrency } = this;
    return await this.executeAndExport(store, id, { retryFailed, concurrency });
  }
}
