import type { DatabaseCheck } from "../../../app/database/check-database.ts";
import { counted, printable } from "../text.ts";

export function renderCheck({ database, rules, violations }: DatabaseCheck): string {
  const head = `${printable(database)}: ${counted(rules, "rule")} checked, ${violations.length} broken`;
  const lines = violations.map(
    ({ rule, rows, examples }) => `  broken: ${rule} (${counted(rows, "row")}: ${examples.join("; ")})`,
  );
  return [head, ...lines.map(printable)].join("\n");
}
