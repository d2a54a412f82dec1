import type { Format } from "./formats.ts";
import { renderers } from "./index.ts";
import type { Findings, Found, Selection } from "./selection.ts";

/** Warnings about a dataset that was written. */
export function exportWarnings(
  { inputs, leftOut, surrogates, nuls, long }: Findings,
  format: Format,
  { completeOnly, replaceSurrogates, csvSafe }: Selection & { csvSafe: boolean },
): string[] {
  const warnings: string[] = [];
  if (completeOnly) {
    warnings.push(`${leftOut} of ${counted(inputs, "input")} left out, because a response is missing`);
  }
  if (surrogates.count > 0) {
    const become = "written as U+FFFD";
    const what = replaceSurrogates
      ? become
      : renderers[format].isJson
        ? "for which many programs refuse the whole file; --replace-surrogates writes U+FFFD instead"
        : `${become}, because UTF-8 cannot encode it`;
    warnings.push(
      `${cells(surrogates)} a lone surrogate (half of a character in UTF-16), ${what}: ${list(surrogates)}`,
    );
  }
  if (format === "csv" && nuls.count > 0) {
    const what = csvSafe ? "written as U+FFFD" : "where many programs end a field; --csv-safe writes U+FFFD instead";
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
