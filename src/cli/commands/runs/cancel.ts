import { Command, Option } from "clipanion";
import { RUN_DESCRIPTION } from "../../command.ts";
import { confirmedUrlsFlag } from "../../flags.ts";
import { renderOutcome } from "../../render/lines.ts";
import { SendingCommand } from "../../sending.ts";

export class RunsCancelCommand extends SendingCommand {
  static override paths = [["runs", "cancel"]];
  static override usage = Command.Usage({
    category: "Runs",
    description: "Cancel the batches of a run, and store the results that are ready",
    details: `
      ${RUN_DESCRIPTION}

      Answers that are ready are stored, and the provider charges them. The other calls become pending again:
      \`datagen resume\` sends them in new batches or, with \`--live\`, each in its own request.

      Use \`--give-up\` for a batch that the provider has lost, or that never ends. The provider is asked once to cancel it.
      Requests without a result are then possibly billed, also for a cap, and their calls become pending again. Try the
      command without it first: an answer that the provider has ready would be paid for twice.
    `,
    examples: [
      ["Cancel the batches of the newest run", "datagen runs cancel latest"],
      ["Stop waiting for batches that never end", "datagen runs cancel latest --give-up"],
    ],
  });

  run = Option.String({ name: "RUN" });
  baseUrl = confirmedUrlsFlag();
  giveUp = Option.Boolean("--give-up", false, {
    description: "End the batches here at once; requests without a result are possibly billed",
  });

  async execute(): Promise<void> {
    const [{ cancelRun }, { showSummary }] = await Promise.all([
      import("../../../app/run/cancel-run.ts"),
      import("../../../app/runs/show-run.ts"),
    ]);
    using store = await this.openStore("refuse");
    const { id } = showSummary(store, this.run);
    const { onEvent } = this.progress;
    const options = { giveUp: this.giveUp, onEvent, ...this.confirmation(this.baseUrl) };
    const run = await this.interruptibly(id, (signal) => cancelRun(store, id, { ...options, signal }));
    this.progress.end();
    this.warn(renderOutcome(run));
    if (this.json) this.printJson(run);
  }

  protected override resumeCommand(id: string): string {
    return this.commandLine(`runs cancel ${id}${this.giveUp ? " --give-up" : ""}`);
  }
}
