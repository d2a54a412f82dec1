import { createHash } from "node:crypto";
import { readdirSync, readFileSync, type Stats, statSync } from "node:fs";
import { isAbsolute, join, relative, sep } from "node:path";
import { UsageError } from "../../errors.ts";
import { realPath } from "../../store/file/paths.ts";
import { isDataset } from "./found-dataset.ts";
import { asOutputError } from "./output.ts";

/** What is in the folder of a dataset for the Hugging Face Hub. */
export const CARD = "README.md";
export const FILES = "data";

const PART = /^train-\d{5,}-of-\d{5,}\.parquet$/;

/** The name of a file of the split `train`, as the Hub has it. */
export function partName(number: number, count: number): string {
  const digits = (value: number) => String(value).padStart(5, "0");
  return `train-${digits(number)}-of-${digits(count)}.parquet`;
}

/** The second line of a card is a comment with the hash of the rest, so that a card that somebody has edited is known. */
const SIGNATURE = /^---\n# Written by datagen export; s256:([0-9a-f]{64})\n/;

/** A card with its signature. */
export function signed(card: string): string {
  return card.replace(/^---\n/, (begin) => `${begin}# Written by datagen export; s256:${hashOf(card)}\n`);
}

function hashOf(card: string): string {
  return createHash("sha256").update(card).digest("hex");
}

/** The longest card that is read. */
const MOST_CARD_BYTES = 1 << 26;

/**
 * Checks that a folder can be written: there is none, it is empty, or it is such a dataset as it was written.
 * @throws UsageError when it cannot
 */
export function checkFolder(path: string): void {
  const wrong = (what: string) =>
    new UsageError(`the dataset cannot be written to ${path}, ${what}`, "Name another folder with --output.");
  if (path === "" || path === "-" || path === "/dev/stdout") {
    throw new UsageError("the format hf is a folder, which cannot go to stdout", "Name a folder with --output.");
  }
  try {
    const found: Stats | undefined = statSync(path, { throwIfNoEntry: false });
    if (found === undefined) return;
    if (!found.isDirectory()) throw wrong("which is not a folder");
    const foreign = foreignIn(path);
    if (foreign !== null) throw wrong(`which has ${foreign}`);
    // It would be removed under the shell, which then shows an empty folder.
    if (isWithin(process.cwd(), realPath(path))) throw wrong("which is the current folder");
  } catch (error) {
    throw asOutputError(error, path);
  }
}

function isWithin(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way !== ".." && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

/** What a folder has besides such a dataset; null if that is nothing. */
function foreignIn(path: string): string | null {
  const names = readdirSync(path);
  if (names.length === 0) return null;
  const others = names.filter((name) => name !== CARD && name !== FILES);
  if (others.length > 0) return `other files: ${JSON.stringify(others[0])}`;
  if (!names.includes(CARD)) return "no card of datagen";
  const card = join(path, CARD);
  if (statSync(card).size > MOST_CARD_BYTES) return `a ${CARD} that is not of datagen`;
  const text = readFileSync(card, "utf8");
  const hash = SIGNATURE.exec(text)?.[1];
  if (hash === undefined) return `a ${CARD} that is not of datagen`;
  if (hash !== hashOf(text.replace(SIGNATURE, "---\n"))) return `a ${CARD} that was edited`;
  if (!names.includes(FILES)) return null;
  const strange = readdirSync(join(path, FILES)).find(
    (name) => !PART.test(name) || !isDataset(join(path, FILES, name)),
  );
  return strange === undefined ? null : `other files: ${JSON.stringify(`${FILES}/${strange}`)}`;
}
