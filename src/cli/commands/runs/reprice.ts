import { Command, Option } from "clipanion";
import { DatagenCommand, RUN_DESCRIPTION } from "../../command.ts";

export class RunsRepriceCommand extends DatagenCommand {
  static override paths = [["runs", "reprice"]];
  static override usage = Command.Usage({
    category: "Runs",
    description: "Show the cost of a run at today's prices",
    details: `
      ${RUN_DESCRIPTION}

      A run keeps the prices that it was planned with. This command shows its cost at those prices and at today's.
      \`--apply\` stores today's prices with the run; its recorded tokens never change.
    `,
    examples: [
      ["Both costs of the newest run", "datagen runs reprice latest"],
      ["Give it today's prices", "datagen runs reprice latest --apply"],
    ],
  });

  run = Option.String({ name: "RUN" });
  apply = Option.Boolean("--apply", false, { description: "Store today's prices and costs with the run" });

  async execute(): Promise<void> {
    const [{ repriceRun }, { renderRepricing }] = await Promise.all([
      import("../../../app/runs/reprice-run.ts"),
      import("../../render/runs/reprice.ts"),
    ]);
    using store = await (this.apply ? this.openStore("refuse") : this.openToRead());
    if (this.apply) await this.awaitHolders(store, this.run);
    const repricing = await repriceRun(store, this.run, { apply: this.apply });
    if (this.json) this.printJson(repricing);
    else this.print(renderRepricing(repricing));
  }
}
