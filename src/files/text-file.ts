import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { errorCode, errorMessage, UsageError } from "../errors.ts";
import { kindOfFile } from "./file-kind.ts";
import { gunzipped } from "./gunzip.ts";
import { decoded } from "./utf8.ts";

/** The words for a file in errors. */
export interface FileWords {
  /** Such as `input file`. */
  name: string;
  /** What to do if it does not exist. */
  missing: string;
  /** What to do if it is not a regular file, or not text. */
  irregular: string;
  /** Whether it holds rows, which other files can be turned into. */
  holdsRows?: boolean;
}

/** A text file that is read as a stream. */
export interface TextFile {
  /** Its text in chunks. The reader may stop early. */
  text: AsyncIterable<string>;
  /** Reads the rest of the file. @returns the SHA-256 of all its bytes, in hex */
  sha256(): Promise<string>;
  close(): void;
}

const GZIP = /\.gz$/i;

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
 * Opens a regular file, which may be read more than once. It is unpacked if its name ends in `.gz`.
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
    text: decoded(GZIP.test(path) ? gunzipped(bytes(), path) : bytes(), path, placeOf, (begin) =>
      checkKind(begin, path, words),
    ),
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
    for await (const chunk of decoded(
      bytes(),
      path,
      () => "",
      (begin) => checkKind(begin, path, words),
    ))
      text += chunk;
    return text;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    if (errorCode(error) === "ENOENT") throw new UsageError(`there is no ${words.name} ${path}`, words.missing);
    throw unreadable(path, words, error);
  }
}

const AS_UTF8 = "Save it as UTF-8.";

/** @throws UsageError that names the kind of a file that is not UTF-8 text, or holds no rows */
function checkKind(bytes: Buffer, path: string, { irregular, holdsRows = false }: FileWords): void {
  const kind = kindOfFile(bytes, path);
  if (kind !== null && holdsRows) throw new UsageError(`${path} is ${kind.name}: ${kind.asRows}`);
  if (kind !== null) throw new UsageError(`${path} is ${kind.name}`, kind.isPacked ? "Unpack it first." : irregular);
  const begin = bytes.toString("latin1", 0, 1024);
  if (/^(\xff\xfe\0\0|\0\0\xfe\xff)/.test(begin))
    throw new UsageError(`${path} is not UTF-8 text, but UTF-32.`, AS_UTF8);
  if (/^(\xff\xfe|\xfe\xff)/.test(begin)) throw new UsageError(`${path} is not UTF-8 text, but UTF-16.`, AS_UTF8);
  if (!begin.includes("\0")) return;
  // In UTF-16 every second byte of Latin letters is 0.
  const isUtf16 = (bytes[0] === 0) !== (bytes[1] === 0);
  if (isUtf16) throw new UsageError(`${path} is not UTF-8 text, but UTF-16.`, AS_UTF8);
  throw new UsageError(`${path} holds NUL bytes, so it is not text.`, "Is it the right file?");
}

/** @throws UsageError if a file that is read more than once is not a regular file */
export async function checkFile(path: string, words: FileWords): Promise<void> {
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

/** The error for a file that the system does not read. */
export function unreadable(path: string, { name }: FileWords, error: unknown): UsageError {
  return new UsageError(`the ${name} ${path} cannot be read: ${errorMessage(error)}`, undefined, error);
}
