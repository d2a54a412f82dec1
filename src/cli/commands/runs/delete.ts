import { Command, Option } from "clipanion";
import { UsageError } from "../../../errors.ts";
import { DatagenCommand, RUNS_DESCRIPTION } from "../../command.ts";
import { counted } from "../../render/text.ts";

export class RunsDeleteCommand extends DatagenCommand {
  static override paths = [["runs", "delete"]];
  static override usage = Command.Usage({
    category: "Runs",
    description: "Remove a run from the database",
    details: `
      ${RUNS_DESCRIPTION}

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
    const [{ deleteRuns, planDeletion }, { namedRuns }] = await Promise.all([
      import("../../../app/runs/delete-run.ts"),
      import("../../../app/runs/named-runs.ts"),
    ]);
    using store = await this.openStore("refuse");
    const { experiment, runs } = namedRuns(store, this.run);
    const deletions = runs.map(({ id }) => planDeletion(store, id));
    const sum = (count: "answers_lost" | "answers_kept" | "batches_open") =>
      deletions.reduce((total, deletion) => total + deletion[count], 0);
    const [lost, kept] = [sum("answers_lost"), sum("answers_kept")];
    const others =
      kept === 0 ? "" : `; ${counted(kept, "more", "more")} ${kept === 1 ? "stays" : "stay"} with other runs`;
    const what = `${counted(lost, "answer")} that no other run has${others}`;
    const which =
      experiment === null
        ? `run ${runs[0]?.id}`
        : `experiment ${experiment} with its ${counted(runs.length, "run")} (${runs.map(({ id }) => id).join(", ")})`;
    for (const { run, batches_open: open } of deletions) if (open > 0) this.warnOfBatches(run, open);
    if (!this.yes && !(await this.confirm(which, what))) {
      this.warn("Nothing was removed.");
      return;
    }
    await this.awaitHolders(store, this.run);
    deleteRuns(
      store,
      runs.map(({ id }) => id),
    );
    const counts = { answers_lost: lost, answers_kept: kept, batches_open: sum("batches_open") };
    if (this.json && experiment === null) this.printJson({ deleted: runs[0]?.id, ...counts });
    else if (this.json) this.printJson({ experiment, deleted: runs.map(({ id }) => id), ...counts });
    else this.warn(`${which[0]?.toUpperCase()}${which.slice(1)} was removed, with ${what}.`);
  }

  private warnOfBatches(run: string, open: number): void {
    this.warn(
      `Warning: run ${run} has ${counted(open, "open batch", "open batches")}. The provider goes on with ${open === 1 ? "it" : "them"} and charges for what it answers; ` +
        `that will be lost. \`${this.commandLine(`runs cancel ${run}`)}\` cancels, and takes in what is done.`,
    );
  }

  private async confirm(which: string, what: string): Promise<boolean> {
    const { ask } = this;
    if (!ask) {
      throw new UsageError(`${which} has ${what}, and there is no terminal to ask on`, "Add --yes to remove it.");
    }
    return await ask(`Remove ${which}, with ${what}?`);
  }
}
