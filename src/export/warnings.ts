import type { Format } from "./formats.ts";
import { renderers } from "./index.ts";
import type { Findings, Found, Selection } from "./selection.ts";

/** What a user should know of a dataset that was written. */
export function exportWarnings(
  { inputs, leftOut, surrogates, nuls, long }: Findings,
  format: Format,
  { completeOnly, replaceSurrogates, csvSafe }: Selection & { csvSafe: boolean },
): string[] {
  const warnings: string[] = [];
  if (completeOnly) {
    warnings.push(`${leftOut} of ${counted(inputs, "input")} left out, as not every response to them is there`);
  }
  if (surrogates.count > 0) {
    const become = "written as U+FFFD";
    const what = replaceSurrogates
      ? become
      : renderers[format].isJson
        ? "which many programs refuse, with the whole file; --replace-surrogates writes U+FFFD in their place"
        : `${become}, as UTF-8 has no other way`;
    warnings.push(`${cells(surrogates)} half of a surrogate pair that stands alone, ${what}: ${list(surrogates)}`);
  }
  if (format === "csv" && nuls.count > 0) {
    const what = csvSafe ? "written as U+FFFD" : "at which many programs end a field; --csv-safe writes U+FFFD for it";
    warnings.push(`${cells(nuls)} a NUL, ${what}: ${list(nuls)}`);
  }
  if (csvSafe && long.count > 0) {
    warnings.push(
      `${cells(long)} more than 32,767 characters, of which a spreadsheet shows only the first: ${list(long)}`,
    );
  }
  return warnings;
}

function cells({ count }: Found): string {
  return count === 1 ? "1 cell holds" : `${count} cells hold`;
}

function list({ count, first }: Found): string {
  const more = count - first.length;
  return more > 0 ? `${first.join("; ")}; and ${more} more` : first.join("; ");
}

function counted(count: number, singular: string): string {
  return `${count} ${singular}${count === 1 ? " is" : "s are"}`;
}
