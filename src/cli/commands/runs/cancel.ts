import { Command, Option } from "clipanion";
import { RUN_DESCRIPTION } from "../../command.ts";
import { renderOutcome } from "../../render/lines.ts";
import { SendingCommand } from "../../sending.ts";

export class RunsCancelCommand extends SendingCommand {
  static override paths = [["runs", "cancel"]];
  static override usage = Command.Usage({
    category: "Runs",
    description: "Cancel the batches of a run, and store the results that are ready",
    details: `
      ${RUN_DESCRIPTION}

      Answers that the provider has made by then are stored, and charged. The other calls become pending again:
      \`datagen resume\` sends them in new batches or, with \`--live\`, each in its own request.
    `,
    examples: [["Cancel the batches of the newest run", "datagen runs cancel latest"]],
  });

  run = Option.String({ name: "RUN" });
  baseUrl = Option.String("--base-url", {
    description: "Confirm the base URL of the run, if you have not named that server on this machine",
  });

  async execute(): Promise<void> {
    const [{ cancelRun }, { showSummary }] = await Promise.all([
      import("../../../app/run/execute-run.ts"),
      import("../../../app/runs/show-run.ts"),
    ]);
    using store = await this.openStore("refuse");
    const { id } = showSummary(store, this.run);
    const { onEvent } = this.progress;
    const confirmation = this.confirmation(this.baseUrl);
    const run = await this.interruptibly(id, (signal) => cancelRun(store, id, { signal, onEvent, ...confirmation }));
    this.progress.end();
    this.warn(renderOutcome(run));
    if (this.json) this.printJson(run);
  }

  protected override resumeCommand(id: string): string {
    return this.commandLine(`runs cancel ${id}`);
  }
}
