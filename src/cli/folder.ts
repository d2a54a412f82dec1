import { UsageError } from "../errors.ts";
import { FORMATS } from "../export/formats.ts";

/**
 * The folder for the datasets of several runs.
 * @throws UsageError when it seems to be meant as a file
 */
export function folderOf(output: string): string {
  const looksLikeFile = FORMATS.some((format) => output.toLowerCase().endsWith(`.${format}`));
  if (output === "-" || looksLikeFile) {
    throw new UsageError(
      `--output ${output} is not a folder, and each run of an experiment has a dataset of its own`,
      "Name a folder.",
    );
  }
  return /[/\\]$/.test(output) ? output : `${output}/`;
}
