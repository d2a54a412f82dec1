import { Command, Option } from "clipanion";
import { DatagenCommand } from "../../command.ts";

export class DbMergeCommand extends DatagenCommand {
  static override paths = [["db", "merge"]];
  static override usage = Command.Usage({
    category: "Database",
    description: "Take in the runs of another database",
    details: `
      Runs that are here already stay as they are, so that merging twice changes nothing; the other database is only
      read. Runs that were made in parts, with \`run --shard\`, become one run as their parts come together, and the
      parts that are missing are named.
    `,
    examples: [["The runs of another machine", "datagen db merge other.db"]],
  });

  other = Option.String({ name: "OTHER" });

  async execute(): Promise<void> {
    const [{ mergeDatabase }, { renderMerge }] = await Promise.all([
      import("../../../app/database/merge-database.ts"),
      import("../../render/db/merge.ts"),
    ]);
    using store = await this.openStore();
    await this.awaitHolders(store);
    const merge = mergeDatabase(store, this.other);
    if (this.json) this.printJson(merge);
    else this.print(renderMerge(merge));
  }
}
