import { Command } from "clipanion";
import { DatagenCommand } from "../../command.ts";

export class RunsListCommand extends DatagenCommand {
  static override paths = [["runs", "list"]];
  static override usage = Command.Usage({
    category: "Runs",
    description: "List all runs with their tokens and cost, the newest first",
    details: `
      A run is \`running\` while a process executes it, \`waiting\` while batches are open at the provider,
      \`interrupted\` when calls are left and no process executes it, \`completed\` when every call has its answer, and
      \`failed\` when it is done but some calls have failed.

      The total has what deleted runs have cost, too.
    `,
    examples: [
      ["As a table that fits the terminal", "datagen runs list"],
      ["As JSON, for programs", "datagen runs list --json"],
    ],
  });

  async execute(): Promise<void> {
    const [{ deletedRuns, listRuns }, { renderRuns }] = await Promise.all([
      import("../../../app/runs/list-runs.ts"),
      import("../../render/runs/list.ts"),
    ]);
    using store = await this.openIfThere();
    const runs = listRuns(store);
    if (this.json) this.printJson(runs);
    else this.print(renderRuns(runs, this.width, deletedRuns(store)));
  }
}
