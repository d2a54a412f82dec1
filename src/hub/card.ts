import { z } from "zod";

/** A file with its place in the dataset. */
export interface Placed<F> {
  config: string;
  split: string;
  file: F;
}

const NAME = z.string().min(1).max(250);
const globs = z.union([
  z
    .string()
    .max(1_000)
    .transform((one) => [one]),
  z.array(z.string().max(1_000)).max(10_000),
]);
const bySplit = z.array(z.object({ split: NAME, path: globs })).max(1_000);

/** The `configs` of a dataset's card, which say which files belong to which config and split. */
export const cardConfigs = z
  .array(
    z.object({
      config_name: NAME,
      data_files: z.union([bySplit, globs.transform((path) => [{ split: "train", path }])]).optional(),
      data_dir: z.string().max(1_000).optional(),
    }),
  )
  .max(10_000);

type CardConfig = z.infer<typeof cardConfigs>[number];

/** Where a card places files. A config without patterns has all files of its folder, placed by their names. */
export function placedByCard<F extends { path: string }>(
  configs: readonly CardConfig[],
  files: readonly F[],
): Placed<F>[] {
  return configs.flatMap(({ config_name: config, data_files: data, data_dir: folder }) => {
    const inFolder = files.filter(
      ({ path }) => folder === undefined || path.startsWith(`${folder.replace(/\/+$/, "")}/`),
    );
    if (!data) return inFolder.map((file) => ({ config, split: placeOf(file.path).split, file }));
    return data.flatMap(({ split, path: given }) =>
      inFolder.filter(({ path }) => given.some((glob) => matches(glob, path))).map((file) => ({ config, split, file })),
    );
  });
}

/** Where the names of files place them, without a card. */
export function placedByName<F extends { path: string }>(files: readonly F[]): Placed<F>[] {
  return files.map((file) => ({ ...placeOf(file.path), file }));
}

const SPLIT_WORDS: readonly [split: string, words: RegExp][] = [
  ["train", /^train(?:ing)?$/i],
  ["validation", /^(?:validation|valid|val|dev)$/i],
  ["test", /^(?:test|testing|eval|evaluation)$/i],
];

/** Folders that say nothing about their files. */
const PLAIN_FOLDERS = new Set(["data", "default"]);

/**
 * The config and split of a file by its path: `CONFIG/SPLIT-00000-of-00001.parquet`, as datasets are uploaded,
 * `CONFIG/SPLIT/0000.parquet`, as the Hub converts them, or a name with the word of a split in it. All others are `train`.
 */
function placeOf(path: string): { config: string; split: string } {
  const folders = path.split("/");
  const stem = (folders.pop() ?? "").replace(/\.parquet$/i, "");
  const sharded = /^(\w[\w.]*)-\d{5}-of-\d{5}/.exec(stem)?.[1];
  let split = sharded ?? wordIn(stem);
  if (split === undefined && folders.length > 0 && (/^\d+$/.test(stem) || wordIn(folders.at(-1) ?? "") !== undefined)) {
    const folder = folders.pop() ?? "";
    split = wordIn(folder) ?? folder.replace(/^partial-/, "");
  }
  const config = folders.filter((folder) => !PLAIN_FOLDERS.has(folder)).join("/");
  return { config: config === "" ? "default" : config, split: split ?? "train" };
}

function wordIn(name: string): string | undefined {
  const words = name.split(/[^\p{L}\p{N}]+/u);
  return SPLIT_WORDS.find(([, pattern]) => words.some((word) => pattern.test(word)))?.[0];
}

/** Whether a path matches a pattern with `*`, `**` and `?`. The time is bounded: both may be long. */
function matches(pattern: string, path: string): boolean {
  return matchLists(pattern.replace(/^\.?\//, "").split("/"), path.split("/"), (part) => part === "**", matchesSegment);
}

function matchesSegment(pattern: string, segment: string): boolean {
  return matchLists(
    [...pattern],
    [...segment],
    (part) => part === "*",
    (part, character) => part === "?" || part === character,
  );
}

/** Whether a list matches a list of patterns, of which some stand for any number of members. Goes back to the last of those only. */
function matchLists<P, T>(
  patterns: readonly P[],
  list: readonly T[],
  isMany: (pattern: P) => boolean,
  isOne: (pattern: P, member: T) => boolean,
): boolean {
  let at = 0;
  let position = 0;
  let many = -1;
  let resume = 0;
  while (position < list.length) {
    const pattern = patterns[at];
    if (at < patterns.length && isMany(pattern as P)) {
      many = at;
      at += 1;
      resume = position;
    } else if (at < patterns.length && isOne(pattern as P, list[position] as T)) {
      at += 1;
      position += 1;
    } else if (many >= 0) {
      resume += 1;
      position = resume;
      at = many + 1;
    } else return false;
  }
  return patterns.slice(at).every(isMany);
}
