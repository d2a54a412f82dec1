import { Command } from "clipanion";
import { EXIT } from "../../../errors.ts";
import { DatagenCommand } from "../../command.ts";

export class DbCheckCommand extends DatagenCommand {
  static override paths = [["db", "check"]];
  static override usage = Command.Usage({
    category: "Database",
    description: "Check the database: the file itself, and the rules that its rows must keep",
    details: "Exits with 1 if something is broken. Nothing is changed.",
    examples: [
      ["The database of this folder", "datagen db check"],
      ["As JSON, for programs", "datagen db check --json"],
    ],
  });

  async execute(): Promise<number> {
    const [{ checkDatabase }, { renderCheck }] = await Promise.all([
      import("../../../app/database/check-database.ts"),
      import("../../render/db/check.ts"),
    ]);
    using store = await this.openToRead();
    const check = checkDatabase(store);
    if (this.json) this.printJson(check);
    else this.print(renderCheck(check));
    return check.violations.length > 0 ? EXIT.someFailed : EXIT.done;
  }
}
