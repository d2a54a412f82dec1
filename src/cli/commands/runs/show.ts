import { Command, Option } from "clipanion";
import { DatagenCommand, RUNS_DESCRIPTION } from "../../command.ts";
import { jsonLines } from "../../render/json.ts";

export class RunsShowCommand extends DatagenCommand {
  static override paths = [["runs", "show"]];
  static override usage = Command.Usage({
    category: "Runs",
    description: "Show one run in detail: its calls by perspective and step, and what failed",
    details: RUNS_DESCRIPTION,
    examples: [
      ["The newest run", "datagen runs show latest"],
      ["Every failed request of it", "datagen runs show latest --failures"],
      ["As JSON, with the run's config", "datagen runs show latest --json"],
    ],
  });

  run = Option.String({ name: "RUN" });
  failures = Option.Boolean("--failures", false, { description: "List every request that failed" });

  async execute(): Promise<void> {
    const [{ namedRuns }, { showFailures, showRun }, { failureLines, renderDetails }, { renderRuns }] =
      await Promise.all([
        import("../../../app/runs/named-runs.ts"),
        import("../../../app/runs/show-run.ts"),
        import("../../render/runs/show.ts"),
        import("../../render/runs/list.ts"),
      ]);
    using store = await this.openToRead();
    const { experiment, runs } = namedRuns(store, this.run);
    if (this.failures) {
      if (this.json && experiment !== null) {
        await this.printLines(jsonLines(failuresOf(runs, (id) => showFailures(store, id))));
        return;
      }
      for (const { id } of runs) {
        const failures = showFailures(store, id);
        if (experiment !== null) this.print(`Run ${id}:`);
        await this.printLines(this.json ? jsonLines(failures) : failureLines(failures, this.width));
      }
      return;
    }
    const details = runs.map(({ id }) => showRun(store, id));
    if (this.json) this.printJson(experiment === null ? details[0] : { experiment, runs: details });
    else {
      const summary = experiment === null ? [] : [`Experiment ${experiment}`, renderRuns(runs, this.width)];
      this.print([...summary, ...details.map((run) => renderDetails(run, this.width))].join("\n\n"));
    }
  }
}

/** The failures of several runs, each with the id of its run. */
function* failuresOf(runs: readonly { id: string }[], list: (id: string) => Iterable<object>): Generator<object> {
  for (const { id } of runs) for (const failure of list(id)) yield { run: id, ...failure };
}
