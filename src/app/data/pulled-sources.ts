import { dirname, relative, resolve, sep } from "node:path";
import { type PulledFile, readRecord } from "../../hub/record.ts";
import type { DataSource } from "../../store/runs/data-source.ts";
import type { FileRead } from "../../sources/input-files.ts";

/** How many folders above a file a record may be: files lie in the folders of their dataset. */
const HIGHEST = 12;

/**
 * The published datasets that files were pulled from, by the records beside them. A file counts only if it is still the
 * one that was pulled.
 * @returns null if there are none
 */
export async function pulledSources(
  files: readonly FileRead[],
  onWarning: (message: string) => void,
): Promise<DataSource[] | null> {
  const records = new Map<string, ReadonlyMap<string, PulledFile>>();
  const sources = new Map<string, DataSource>();
  for (const file of files) {
    const path = resolve(file.path);
    let folder = dirname(path);
    for (let height = 0; height < HIGHEST; height += 1) {
      let record = records.get(folder);
      if (!record) {
        record = new Map((await readRecord(folder, onWarning)).map((pulled) => [pulled.path, pulled]));
        records.set(folder, record);
      }
      const pulled = record.get(relative(folder, path).replaceAll(sep, "/"));
      if (pulled?.sha256 === file.sha256) {
        const { dataset, revision, commit, config, split, license } = pulled;
        const source = { dataset: `hf://${dataset}`, revision, commit, config, split, license };
        sources.set(JSON.stringify(source), source);
        break;
      }
      if (dirname(folder) === folder) break;
      folder = dirname(folder);
    }
  }
  return sources.size === 0 ? null : [...sources.values()];
}
