import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";
import { errorCode, errorMessage, UsageError } from "../errors.ts";

/** How errors speak of a file. */
export interface FileWords {
  /** Such as `input file`. */
  name: string;
  /** What to do where it is not there. */
  missing: string;
  /** What to do where it is no regular file. */
  irregular: string;
}

/** A text file that is read as a stream. */
export interface TextFile {
  /** Its text in chunks; may be left before its end. */
  text: AsyncIterable<string>;
  /** Reads what is left. @returns the SHA-256 of all its bytes, in hex */
  sha256(): Promise<string>;
  close(): void;
}

/** @throws UsageError here, or while it is read, when it cannot be read or is not UTF-8 */
export async function openTextFile(path: string, words: FileWords): Promise<TextFile> {
  await checkFile(path, words);
  const stream = createReadStream(path, { highWaterMark: 1 << 18 });
  const chunks = stream[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  const hash = createHash("sha256");

  // Each chunk is hashed where it is read, so that who leaves the text early still gets the hash of the whole.
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

  async function* text(): AsyncGenerator<string> {
    const decoder = new TextDecoder("utf-8", { fatal: true });
    let position = 0;
    let chunk: Buffer = Buffer.alloc(0);
    try {
      for (let bytes = await next(); bytes; bytes = await next()) {
        chunk = bytes;
        yield decoder.decode(bytes, { stream: true });
        position += bytes.length;
      }
      yield decoder.decode();
    } catch (error) {
      if (errorCode(error) !== "ERR_ENCODING_INVALID_ENCODED_DATA") throw error;
      throw new UsageError(
        `${path} is not UTF-8 text: the byte at ${position + firstBadByte(chunk)} is none of it`,
        "Save it as UTF-8.",
      );
    }
  }

  return {
    text: text(),
    async sha256() {
      while (await next());
      return hash.digest("hex");
    },
    close: () => stream.destroy(),
  };
}

async function checkFile(path: string, words: FileWords): Promise<void> {
  try {
    if ((await stat(path)).isFile()) return;
  } catch (error) {
    if (errorCode(error) === "ENOENT") throw new UsageError(`there is no ${words.name} ${path}`, words.missing);
    throw unreadable(path, words, error);
  }
  throw new UsageError(`the ${words.name} ${path} is not a regular file`, words.irregular);
}

function unreadable(path: string, { name }: FileWords, error: unknown): UsageError {
  return new UsageError(`the ${name} ${path} cannot be read: ${errorMessage(error)}`, undefined, error);
}

/** The offset of the first byte that is no UTF-8, or the length of the bytes where only their end is missing. */
function firstBadByte(bytes: Buffer): number {
  let [good, bad] = [0, bytes.length];
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    try {
      new TextDecoder("utf-8", { fatal: true }).decode(bytes.subarray(0, middle), { stream: true });
      good = middle;
    } catch {
      bad = middle;
    }
  }
  return good;
}
