import { Command, Option } from "clipanion";
import { DatagenCommand } from "../../command.ts";

export class DbMergeCommand extends DatagenCommand {
  static override paths = [["db", "merge"]];
  static override usage = Command.Usage({
    category: "Database",
    description: "Copy the runs of another database into this one",
    details: `
      The other database is only read. Runs that are in both stay as they are here, so that a second merge changes
      nothing. Parts of a run, made with \`run --shard\`, become one run; the output names the parts that are missing.
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
