import { Command } from "clipanion";
import { DatagenCommand } from "../../command.ts";

export class DbCompactCommand extends DatagenCommand {
  static override paths = [["db", "compact"]];
  static override usage = Command.Usage({
    category: "Database",
    description: "Give the space back to the disk that deleted runs have left",
    details: `
      The file is written anew without gaps. That takes twice as much room as its rows for a while, in part among the
      temporary files, for which SQLITE_TMPDIR can name another disk. Not while a process executes a run.
    `,
    examples: [
      ["The database of this folder", "datagen db compact"],
      ["As JSON, for programs", "datagen db compact --json"],
    ],
  });

  async execute(): Promise<void> {
    const [{ compactDatabase }, { renderCompaction }] = await Promise.all([
      import("../../../app/database/compact-database.ts"),
      import("../../render/db/compact.ts"),
    ]);
    using store = await this.openStore("refuse");
    await this.awaitHolders(store);
    const compaction = compactDatabase(store, {
      onEvent: (event) => event.type === "warning" && this.warn(`Warning: ${event.message}`),
    });
    if (this.json) this.printJson(compaction);
    else this.print(renderCompaction(compaction));
  }
}
