import { isUtf8 } from "node:buffer";
import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { errorCode, errorMessage, UsageError } from "../errors.ts";

/** The words for a file in errors. */
export interface FileWords {
  /** Such as `input file`. */
  name: string;
  /** What to do if it does not exist. */
  missing: string;
  /** What to do if it is not a regular file, or not text. */
  irregular: string;
}

/** A text file that is read as a stream. */
export interface TextFile {
  /** Its text in chunks. The reader may stop early. */
  text: AsyncIterable<string>;
  /** Reads the rest of the file. @returns the SHA-256 of all its bytes, in hex */
  sha256(): Promise<string>;
  close(): void;
}

/** The most bytes of a text in memory. */
const MOST_TEXT_BYTES = 8_000_000;

/** The size of a text that is too long, such as `36 MB; expected at most 8 MB`; null if it is not too long. */
export function excessOf(text: string): string | null {
  // A UTF-16 code unit takes at most three bytes in UTF-8.
  const bytes = text.length * 3 <= MOST_TEXT_BYTES ? 0 : Buffer.byteLength(text);
  return bytes <= MOST_TEXT_BYTES ? null : `${megabytes(bytes)}; expected at most ${megabytes(MOST_TEXT_BYTES)}`;
}

/** Bytes as `36.1 MB`. */
function megabytes(bytes: number): string {
  const value = (bytes / 1e6).toFixed(1);
  return `${value.endsWith(".0") ? value.slice(0, -2) : value} MB`;
}

/**
 * Opens a regular file, which may be read more than once.
 * @param placeOf says where the text that is read next belongs, such as `in row 7`
 * @throws UsageError, now or during reading, when the file cannot be read or is not UTF-8
 */
export async function openTextFile(path: string, words: FileWords, placeOf: () => string): Promise<TextFile> {
  await checkFile(path, words);
  const stream = createReadStream(path, { highWaterMark: 1 << 18 });
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const hash = createHash("sha256");

  // Chunks are hashed as they are read. A reader that stops early can still get the hash of the whole file.
  async function next(): Promise<Buffer | undefined> {
    try {
      const { done, value } = await chunks.next();
      if (done) return undefined;
      hash.update(value);
      return value;
    } catch (error) {
      throw unreadable(path, words, error);
    }
  }

  async function* bytes(): AsyncGenerator<Buffer> {
    for (let chunk = await next(); chunk; chunk = await next()) yield chunk;
  }

  return {
    text: decoded(bytes(), path, placeOf),
    async sha256() {
      while (await next());
      return hash.digest("hex");
    },
    close: () => stream.destroy(),
  };
}

/**
 * The text of a small file. It is read only once, so it may be a pipe.
 * @throws UsageError when it cannot be read, is not UTF-8, or is larger than `mostBytes`
 */
export async function readSmallTextFile(path: string, words: FileWords, mostBytes: number): Promise<string> {
  let size = 0;
  async function* bytes(): AsyncGenerator<Buffer> {
    for await (const chunk of createReadStream(path) as AsyncIterable<Buffer>) {
      size += chunk.length;
      if (size > mostBytes) {
        throw new UsageError(`the ${words.name} ${path} is larger than ${megabytes(mostBytes)}`, words.irregular);
      }
      yield chunk;
    }
  }
  try {
    if ((await stat(path)).isDirectory()) {
      throw new UsageError(`${path} is a directory, not a ${words.name}`, "Name a file in it, such as a .json file.");
    }
    let text = "";
    for await (const chunk of decoded(bytes(), path)) text += chunk;
    return text;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    if (errorCode(error) === "ENOENT") throw new UsageError(`there is no ${words.name} ${path}`, words.missing);
    throw unreadable(path, words, error);
  }
}

/** Decodes bytes of UTF-8 into chunks that end between characters, without a byte order mark. */
async function* decoded(
  chunks: AsyncIterable<Buffer>,
  path: string,
  placeOf: () => string = () => "",
): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  /** Where in the file `rest` begins. `rest` has the bytes of a character that is not complete yet. */
  let position = 0;
  let rest: Buffer = Buffer.alloc(0);
  const badByte = (at: number, byte: number | undefined) => {
    const what = [`0x${(byte ?? 0).toString(16).toUpperCase().padStart(2, "0")}`, placeOf()].filter(Boolean).join(", ");
    return new UsageError(
      `${path} is not UTF-8 text: the byte at ${at} (${what}) is not valid UTF-8`,
      "Save it as UTF-8. It may be Latin-1 (ISO-8859-1) or Windows-1252.",
    );
  };
  for await (const bytes of chunks) {
    const joined = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    if (position === 0) checkKind(joined, path);
    const whole = joined.subarray(0, wholeLength(joined));
    const good = isUtf8(whole) ? whole : whole.subarray(0, goodLength(whole));
    const text = decoder.decode(good);
    // The text before the bad byte goes out first, so that `placeOf` knows the place.
    yield position === 0 && text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text;
    if (good.length < whole.length) throw badByte(position + good.length, whole[good.length]);
    rest = joined.subarray(whole.length);
    position += whole.length;
  }
  if (rest.length > 0) throw badByte(position, rest[0]);
}

const BYTE_ORDER_MARK = "\ufeff";

/** How many bytes belong to complete characters; the last character may be incomplete. */
function wholeLength(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte < 0x80) break;
    const wanted = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 0;
    if (wanted > back) return bytes.length - back;
    if (wanted > 0) break;
  }
  return bytes.length;
}

/** How many bytes come before the first invalid character. */
function goodLength(bytes: Buffer): number {
  let [good, bad] = [0, bytes.length];
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    const begin = bytes.subarray(0, middle);
    if (isUtf8(begin.subarray(0, wholeLength(begin)))) good = middle;
    else bad = middle;
  }
  return wholeLength(bytes.subarray(0, good));
}

const AS_LINES = "Write its rows as JSON Lines.";
const UNPACK = "Unpack it first.";
const AS_UTF8 = "Save it as UTF-8.";

/** The first bytes of files that are not text, but may be named by mistake. */
const KINDS: [begin: string, kind: string, remedy: string][] = [
  ["PAR1", "a Parquet file, not text", AS_LINES],
  ["ARROW1", "an Arrow file, not text", AS_LINES],
  ["\xff\xff\xff\xff", "an Arrow stream, not text", AS_LINES],
  ["Obj\x01", "an Avro file, not text", AS_LINES],
  ["\x89HDF", "an HDF5 file, not text", AS_LINES],
  ["SQLite format 3\0", "a SQLite database, not text", AS_LINES],
  ["\x1f\x8b", "a gzip file, not text", UNPACK],
  ["PK\x03\x04", "a ZIP file, not text", "Unpack it first. An Excel table is a ZIP file, too."],
  ["\x28\xb5\x2f\xfd", "a Zstandard file, not text", UNPACK],
  ["\xfd7zXZ\0", "an xz file, not text", UNPACK],
  ["BZh", "a bzip2 file, not text", UNPACK],
  ["%PDF-", "a PDF file, not text", AS_LINES],
  ["\xff\xfe\0\0", "not UTF-8 text, but UTF-32", AS_UTF8],
  ["\0\0\xfe\xff", "not UTF-8 text, but UTF-32", AS_UTF8],
  ["\xff\xfe", "not UTF-8 text, but UTF-16", AS_UTF8],
  ["\xfe\xff", "not UTF-8 text, but UTF-16", AS_UTF8],
];

/** @throws UsageError that names the kind of a file that is not UTF-8 text */
function checkKind(bytes: Buffer, path: string): void {
  const begin = bytes.toString("latin1", 0, 1024);
  const [, kind, remedy] = KINDS.find(([magic]) => begin.startsWith(magic)) ?? [];
  if (kind !== undefined) throw new UsageError(`${path} is ${kind}.`, remedy);
  if (!begin.includes("\0")) return;
  // In UTF-16 every second byte of Latin letters is 0.
  const isUtf16 = (bytes[0] === 0) !== (bytes[1] === 0);
  if (isUtf16) throw new UsageError(`${path} is not UTF-8 text, but UTF-16.`, AS_UTF8);
  throw new UsageError(`${path} holds NUL bytes, so it is not text.`, "Is it the right file?");
}

/** A file that is read more than once must be a regular file. */
async function checkFile(path: string, words: FileWords): Promise<void> {
  try {
    const kind = await stat(path);
    if (kind.isFile()) return;
    if (kind.isFIFO() || kind.isCharacterDevice() || kind.isSocket()) {
      throw new UsageError(
        `the ${words.name} ${path} is a pipe or a device, but it must be read more than once`,
        "Write it to a file first.",
      );
    }
  } catch (error) {
    if (error instanceof UsageError) throw error;
    if (errorCode(error) === "ENOENT") throw new UsageError(`there is no ${words.name} ${path}`, words.missing);
    throw unreadable(path, words, error);
  }
  throw new UsageError(`the ${words.name} ${path} is not a regular file`, words.irregular);
}

function unreadable(path: string, { name }: FileWords, error: unknown): UsageError {
  return new UsageError(`the ${name} ${path} cannot be read: ${errorMessage(error)}`, undefined, error);
}
