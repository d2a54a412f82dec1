import { Command, Option } from "clipanion";
import { DatagenCommand } from "../../command.ts";
import { interruptible } from "../../signals.ts";

export class DbBackupCommand extends DatagenCommand {
  static override paths = [["db", "backup"]];
  static override usage = Command.Usage({
    category: "Database",
    description: "Copy the database to a new file, also while runs go on",
    details: `
      The copy has the database as it is when the command starts. It is one file, which only you can read, and it appears
      only when it is complete. An existing file is never replaced. Runs go on meanwhile. \`--db\` opens the copy.
    `,
    examples: [
      ["A copy beside the database", "datagen db backup data/backup.db"],
      ["As JSON, for programs", "datagen db backup data/backup.db --json"],
    ],
  });

  copy = Option.String({ name: "PATH" });

  async execute(): Promise<void> {
    const [{ backUpDatabase }, { renderBackup }] = await Promise.all([
      import("../../../app/database/back-up-database.ts"),
      import("../../render/db/backup.ts"),
    ]);
    using store = await this.openToRead();
    const backup = await interruptible((signal) => backUpDatabase(store, this.copy, { signal }), {
      first: () => this.warn("Stopping: the unfinished copy is removed. Press Ctrl-C again to end at once."),
      second: () => this.warn("Ended."),
    });
    if (this.json) this.printJson(backup);
    else this.print(renderBackup(backup));
  }
}
