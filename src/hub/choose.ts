import { UsageError } from "../errors.ts";
import { dangerIn } from "./file-names.ts";
import type { RemoteFile } from "./listing.ts";

/** More would fill a folder with more files than anybody looks through. */
const MOST_FILES = 10_000;

/** How many names an error lists. */
const MOST_NAMES = 50;

/**
 * The files of a config, and of a split if one is named. Without a name, it is the only config or the one called `default`.
 * @throws UsageError when there is no such config or split, or when the name of a file is not safe
 */
export function chooseFiles(
  id: string,
  files: readonly RemoteFile[],
  { config, split }: { config?: string | undefined; split?: string | undefined },
): readonly RemoteFile[] {
  const configs = [...new Set(files.map((file) => file.config))];
  const chosen = config ?? (configs.length === 1 ? configs[0] : configs.find((name) => name === "default"));
  if (chosen === undefined) {
    throw new UsageError(`${id} has ${configs.length} configs: ${listed(configs)}`, "Choose one with --config.");
  }
  const ofConfig = files.filter((file) => file.config === chosen);
  if (ofConfig.length === 0) {
    throw new UsageError(`${id} has no config ${chosen}; it has ${listed(configs)}`, "Choose one with --config.");
  }
  const ofSplit = ofConfig.filter((file) => split === undefined || file.split === split);
  if (ofSplit.length === 0) {
    const splits = [...new Set(ofConfig.map((file) => file.split))];
    throw new UsageError(
      `${id} has no split ${split} in the config ${chosen}; it has ${listed(splits)}`,
      "Choose one with --split, or leave it out to pull all.",
    );
  }
  return checked(ofSplit);
}

function listed(names: readonly string[]): string {
  const rest = names.length - MOST_NAMES;
  return `${names.slice(0, MOST_NAMES).join(", ")}${rest > 0 ? ` and ${rest} more` : ""}`;
}

/** @throws UsageError when the name of a file is not safe, or when two files would be one on some systems */
function checked(files: readonly RemoteFile[]): readonly RemoteFile[] {
  if (files.length > MOST_FILES) {
    throw new UsageError(`the dataset has ${files.length} Parquet files; at most ${MOST_FILES} are pulled`);
  }
  const dangers = files.flatMap(({ path }) => {
    const danger = dangerIn(path);
    return danger === null ? [] : [`${JSON.stringify(path.slice(0, 300))}: ${danger}`];
  });
  const seen = new Map<string, string>();
  for (const { path } of files) {
    const folded = path.normalize("NFC").toLowerCase();
    const other = seen.get(folded);
    if (other !== undefined && other !== path)
      dangers.push(`${JSON.stringify(path)}: on some systems it is the same file as ${other}`);
    seen.set(folded, path);
  }
  if (dangers.length === 0) return files;
  throw new UsageError(
    `the dataset has files whose names are not safe; nothing was pulled\n${dangers.slice(0, 10).join("\n")}`,
    "Tell the owner of the dataset, or download the files yourself.",
  );
}
