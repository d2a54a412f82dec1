/** The database, from the current folder. */
export const DEFAULT_DATABASE = "data/datagen.db";

/** Where datasets go, from the current folder. */
export const DATASET_FOLDER = "data/agents";

/** In bytes of UTF-8: two parts, the time, an id and an ending stay below what file systems allow. */
const LONGEST_PART = 90;
/** Two parts, the time, the shards and an id. */
const LONGEST_NAME = 240;

/**
 * The dataset's file name without its ending: `[task_type]_[model_name]_[YYYYMMDD_HHMMSS]`, local time, with `/` and
 * `-` of the model's name as `_`. What could lead out of the folder, or is no character for a file name, is `_` too.
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

/** The same name where {@link datasetName} can have made it; else one that stays in its folder. */
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
