import { readdir } from "node:fs/promises";
import { dirname, join, sep } from "node:path";

/**
 * What `input_data_path` is for some files in a folder: the path of one file, a glob if it means exactly these files in
 * their order, else a list.
 */
export async function inputPathOf(paths: readonly string[]): Promise<string | string[]> {
  const shown = paths.map((path) => path.replaceAll(sep, "/"));
  const [first = ""] = shown;
  const folder = dirname(first);
  if (shown.length === 1) return first;
  if (/[*?[\]{}!()]/.test(first) || shown.some((path) => dirname(path) !== folder)) return shown;
  const start = commonStart(shown).replace(/\d+$/, "");
  const end = commonEnd(shown.map((path) => path.slice(start.length)));
  const there = (await readdir(folder))
    .map((name) => join(folder, name).replaceAll(sep, "/"))
    .toSorted((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  const ending = [".parquet", end].find((each) => {
    const isMatch = (path: string) =>
      path.startsWith(start) && path.endsWith(each) && path.length >= start.length + each.length;
    return there.filter(isMatch).join("\n") === shown.join("\n");
  });
  return ending === undefined ? shown : `${start}*${ending}`;
}

/** What all texts begin with. */
function commonStart(texts: readonly string[]): string {
  const [first = "", ...others] = texts;
  let start = first;
  for (const text of others) while (!text.startsWith(start)) start = start.slice(0, -1);
  return start;
}

/** What all texts end with. */
function commonEnd(texts: readonly string[]): string {
  const [first = "", ...others] = texts;
  let end = first;
  for (const text of others) while (!text.endsWith(end)) end = end.slice(1);
  return end;
}
