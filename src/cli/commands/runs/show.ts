import { Command, Option } from "clipanion";
import { DatagenCommand, RUN_DESCRIPTION } from "../../command.ts";
import { jsonLines } from "../../render/json.ts";

export class RunsShowCommand extends DatagenCommand {
  static override paths = [["runs", "show"]];
  static override usage = Command.Usage({
    category: "Runs",
    description: "Show one run in detail: its calls by perspective and step, and what failed",
    details: RUN_DESCRIPTION,
    examples: [
      ["The newest run", "datagen runs show latest"],
      ["Every failed request of it", "datagen runs show latest --failures"],
      ["As JSON, with the run's config", "datagen runs show latest --json"],
    ],
  });

  run = Option.String({ name: "RUN" });
  failures = Option.Boolean("--failures", false, { description: "List every request that failed" });

  async execute(): Promise<void> {
    const [{ showFailures, showRun }, { failureLines, renderDetails }] = await Promise.all([
      import("../../../app/runs/show-run.ts"),
      import("../../render/runs/show.ts"),
    ]);
    using store = await this.openToRead();
    if (this.failures) {
      const failures = showFailures(store, this.run);
      await this.printLines(this.json ? jsonLines(failures) : failureLines(failures, this.width));
      return;
    }
    const details = showRun(store, this.run);
    if (this.json) this.printJson(details);
    else this.print(renderDetails(details, this.width));
  }
}
