import { Command, Option } from "clipanion";
import { RUN_DESCRIPTION } from "../../command.ts";
import { renderOutcome } from "../../render/lines.ts";
import { SendingCommand } from "../../sending.ts";

export class RunsCancelCommand extends SendingCommand {
  static override paths = [["runs", "cancel"]];
  static override usage = Command.Usage({
    category: "Runs",
    description: "Cancel the batches of a run, and take in what of them is done",
    details: `
      ${RUN_DESCRIPTION}

      What the provider has answered until then is kept, and charged. The other calls are pending: \`datagen resume\`
      sends them, in new batches or, with \`--live\`, in requests of their own.
    `,
    examples: [["Cancel the batches of the newest run", "datagen runs cancel latest"]],
  });

  run = Option.String({ name: "RUN" });
  baseUrl = Option.String("--base-url", {
    description: "Confirms the base URL of the run, where this machine does not know it",
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
