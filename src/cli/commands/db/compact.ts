import { Command } from "clipanion";
import { DatagenCommand } from "../../command.ts";

export class DbCompactCommand extends DatagenCommand {
  static override paths = [["db", "compact"]];
  static override usage = Command.Usage({
    category: "Database",
    description: "Give the space of deleted runs back to the disk",
    details: `
      Writes the file again without gaps. For a while this takes twice the space of its rows, a part of it for
      temporary files; SQLITE_TMPDIR can put these on another disk. Refused while a process executes a run.
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
      onEvent: this.onEvent,
    });
    if (this.json) this.printJson(compaction);
    else this.print(renderCompaction(compaction));
  }
}
