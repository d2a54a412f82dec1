import type { ImportedScores } from "../../../app/scores/import-scores.ts";
import { counted, oneLine } from "../text.ts";

/** A line for each score. */
export function renderImportedScores({ scores }: ImportedScores): string {
  return scores.map(({ name, cells }) => oneLine(`${name}: ${counted(cells, "cell")}`)).join("\n");
}
