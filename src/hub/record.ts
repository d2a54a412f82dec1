import { rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { errorMessage } from "../errors.ts";
import { readSmallFile } from "./small-file.ts";

/** The file beside pulled files that says what they are. */
const RECORD = ".datagen-source.json";

const LARGEST_RECORD = 16 * 1024 * 1024;

const text = z.string().max(1_000);
const pulledFile = z.object({
  /** In the folder of the record, with slashes. */
  path: text,
  size: z.int().min(0),
  sha256: z.string().regex(/^[\da-f]{64}$/),
  dataset: text,
  revision: text,
  commit: text,
  license: text.nullable(),
  config: text,
  split: text,
  /** ISO 8601, UTC. */
  pulled_at: text,
});
const record = z.object({ files: z.array(pulledFile) });

/** A pulled file, and what it is. */
export type PulledFile = z.infer<typeof pulledFile>;

/**
 * The record of a folder; empty if there is none.
 * @param onWarning is told why a record cannot be used, which may be somebody else's file
 */
export async function readRecord(folder: string, onWarning: (message: string) => void): Promise<readonly PulledFile[]> {
  const path = join(folder, RECORD);
  try {
    const found = await readSmallFile(path, LARGEST_RECORD);
    return found === null ? [] : record.parse(JSON.parse(found)).files;
  } catch (error) {
    const reason = error instanceof z.ZodError ? "it is not a list of pulled files" : errorMessage(error);
    onWarning(`${path} cannot be used: ${reason}`);
    return [];
  }
}

export async function writeRecord(folder: string, files: readonly PulledFile[]): Promise<void> {
  const path = join(folder, RECORD);
  // A link that stands there is removed, and not followed.
  await rm(`${path}.part`, { force: true });
  await writeFile(`${path}.part`, `${JSON.stringify({ files }, null, 2)}\n`, { flag: "wx" });
  await rename(`${path}.part`, path);
}
