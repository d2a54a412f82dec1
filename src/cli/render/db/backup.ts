import type { Backup } from "../../../app/database/back-up-database.ts";
import { counted, megabytes, printable } from "../text.ts";

export function renderBackup({ database, backup, runs, bytes }: Backup): string {
  return `${printable(backup)}: a copy of ${printable(database)} with ${counted(runs, "run")}, ${megabytes(bytes)}`;
}
