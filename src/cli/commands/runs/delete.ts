import { Command, Option } from "clipanion";
import { UsageError } from "../../../errors.ts";
import { DatagenCommand, RUN_DESCRIPTION } from "../../command.ts";
import { counted } from "../../render/text.ts";

export class RunsDeleteCommand extends DatagenCommand {
  static override paths = [["runs", "delete"]];
  static override usage = Command.Usage({
    category: "Runs",
    description: "Remove a run from the database",
    details: `
      ${RUN_DESCRIPTION}

      Removes the run's tasks, calls and attempts, and the texts and answers that no other run uses. Exported datasets
      stay. On a terminal the command asks first; elsewhere it needs \`--yes\`. Batches that are open go on at the
      provider; the command says so before, and \`datagen runs cancel\` cancels them.
    `,
    examples: [
      ["Remove the newest run, and ask first", "datagen runs delete latest"],
      ["Remove it without asking", "datagen runs delete latest --yes"],
    ],
  });

  run = Option.String({ name: "RUN" });
  yes = Option.Boolean("--yes,-y", false, { description: "Do not ask" });

  async execute(): Promise<void> {
    const { deleteRun, planDeletion } = await import("../../../app/runs/delete-run.ts");
    using store = await this.openStore("refuse");
    const deletion = planDeletion(store, this.run);
    const { run, answers_lost: lost, answers_kept: kept, batches_open: open } = deletion;
    const others =
      kept === 0 ? "" : `; ${counted(kept, "more", "more")} ${kept === 1 ? "stays" : "stay"} with other runs`;
    const what = `${counted(lost, "answer")} that no other run has${others}`;
    if (open > 0) {
      this.warn(
        `Warning: run ${run} has ${counted(open, "open batch", "open batches")}. The provider goes on with ${open === 1 ? "it" : "them"} and charges for what it answers; ` +
          `that will be lost. \`${this.commandLine(`runs cancel ${run}`)}\` cancels, and takes in what is done.`,
      );
    }
    if (!this.yes && !(await this.confirm(run, what))) {
      this.warn("Nothing was removed.");
      return;
    }
    await this.awaitHolders(store, run);
    deleteRun(store, run);
    if (this.json) this.printJson({ deleted: run, answers_lost: lost, answers_kept: kept, batches_open: open });
    else this.warn(`Run ${run} was removed, with ${what}.`);
  }

  private async confirm(run: string, what: string): Promise<boolean> {
    const { ask } = this;
    if (!ask) {
      throw new UsageError(`run ${run} has ${what}, and there is no terminal to ask on`, "Add --yes to remove it.");
    }
    return await ask(`Remove run ${run}, with ${what}?`);
  }
}
