/** The default database, relative to the current folder. */
export const DEFAULT_DATABASE = "data/datagen.db";

/** The default folder of datasets, relative to the current folder. */
export const DATASET_FOLDER = "data/agents";

/** In bytes of UTF-8. A name of two parts, a time, an id and an extension then fits what file systems allow. */
const LONGEST_PART = 90;
/** The length of two parts, the time, the shards and an id, in bytes of UTF-8. */
const LONGEST_NAME = 240;

/**
 * The dataset's file name without its extension: `[task_type]_[model_name]_[YYYYMMDD_HHMMSS]`, in local time. `/` and `-`
 * in the model's name become `_`. So do characters that could lead out of the folder or are not allowed in file names.
 */
export function datasetName(taskType: string, model: string, createdAt: number): string {
  const timestamp = localTime(createdAt).replaceAll(/[-:]/g, "").replace("T", "_");
  return `${filePart(taskType)}_${filePart(model.replaceAll(/[/-]/g, "_"))}_${timestamp}`;
}

/** ISO 8601 to the second in local time, without a zone. */
export function localTime(time: number): string {
  const date = new Date(time);
  const two = (value: number) => String(value).padStart(2, "0");
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  return `${day}T${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
}

/** A stored name, made safe: unchanged if {@link datasetName} can have made it, else a name that stays in its folder. */
export function fileName(stored: string): string {
  return filePart(stored, LONGEST_NAME);
}

function filePart(text: string, longest = LONGEST_PART): string {
  const safe = text.replaceAll(/[^\p{L}\p{N}._ -]/gu, "_").replace(/^[. ]+/, "_");
  let bytes = 0;
  let part = "";
  for (const character of safe) {
    bytes += Buffer.byteLength(character);
    if (bytes > longest) break;
    part += character;
  }
  return part;
}
