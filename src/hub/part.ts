import { createHash, type Hash } from "node:crypto";
import { constants } from "node:fs";
import { type FileHandle, open, rm, writeFile } from "node:fs/promises";
import { errorCode, StoppedError, UsageError } from "../errors.ts";
import type { RemoteFile } from "./listing.ts";
import { readSmallFile } from "./small-file.ts";

/** What is known of the file of which a part is here, beside the part: enough to see later whether it is the same file. */
export interface Note {
  url: string;
  /** Its SHA-256 if the Hub said it, else null. */
  sha256: string | null;
  size: number | null;
  /** The strong ETag with which a server sent it, and the origin of that server. */
  etag: string | null;
  origin: string;
}

/** What arrives, or what is here, is not the file that is wanted. */
export class WrongFileError extends Error {
  override readonly name = "WrongFileError";
}

export const STRONG_ETAG = /^"[^"\r\n]{1,200}"$/;
const LARGEST_NOTE = 64 * 1024;
const MAGIC = "PAR1";
const SHORTEST = 2 * MAGIC.length;
/** No Parquet file of a dataset is larger; ends an answer without a length. */
export const LARGEST = 1e13;

/** Neither follows a link nor waits for a pipe. */
const FLAGS = constants.O_RDWR | constants.O_CREAT | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0);

/** The bytes of a file that are here. */
export interface Part extends AsyncDisposable {
  readonly position: number;
  readonly note: Note | null;
  append(piece: Buffer): Promise<void>;
  /** Says that the server has sent everything. */
  end(): void;
  /** Drops all bytes, before those of another answer arrive. */
  restart(note: Note | null): Promise<void>;
  isComplete(): boolean;
  /** Checks the content of a complete file. @throws WrongFileError */
  check(): Promise<void>;
  flush(): Promise<void>;
  facts(): { size: number; sha256: string };
}

/** Opens the part of a file, and reads what is there of it. It is empty if it is not of this file. */
export async function openPart(
  path: string,
  notePath: string,
  file: RemoteFile,
  onBytes: (bytes: number) => void,
): Promise<Part> {
  const handle = await open(path, FLAGS, 0o666).catch((error: unknown) => {
    throw errorCode(error) === "ELOOP" ? notOurs(path, error) : error;
  });
  if (!(await handle.stat()).isFile()) {
    await handle.close();
    throw notOurs(path);
  }
  const found = await readNote(notePath);
  // Otherwise nobody can say whether the rest belongs to the same file.
  const canCompare = found !== null && (found.sha256 !== null || found.etag !== null || file.commit !== null);
  const isOfFile = canCompare && found.url === file.url && (file.sha256 === null || file.sha256 === found.sha256);
  let note = isOfFile ? found : null;
  let position = 0;
  let isEnded = false;
  let hash = createHash("sha256");
  if (note) position = await hashFile(handle, hash, onBytes);
  const mostBytes = file.size ?? note?.size ?? LARGEST;
  if (position > mostBytes) position = 0;
  if (position === 0) {
    hash = createHash("sha256");
    note = null;
  }
  return {
    get position() {
      return position;
    },
    get note() {
      return note;
    },
    async append(piece) {
      // At its place, so that two pulls of one file do not mix.
      for (let written = 0; written < piece.length;) {
        const { bytesWritten } = await handle
          .write(piece, written, piece.length - written, position + written)
          .catch((error: unknown) => {
            throw errorCode(error) === "EFBIG" ? tooLarge(path, error) : error;
          });
        written += bytesWritten;
      }
      hash.update(piece);
      position += piece.length;
      onBytes(position);
    },
    end() {
      isEnded = true;
    },
    async restart(next) {
      await handle.truncate(0);
      position = 0;
      hash = createHash("sha256");
      isEnded = false;
      note = next;
      onBytes(0);
      await rm(notePath, { force: true });
      if (next) await writeFile(notePath, JSON.stringify(next), { flag: "wx" });
    },
    isComplete: () => isEnded || (note !== null && note.size !== null && position === note.size),
    async check() {
      const got = hash.copy().digest("hex");
      const expected = file.sha256 ?? note?.sha256 ?? null;
      if (expected !== null && got !== expected) {
        throw new WrongFileError(`${file.path} arrived with the SHA-256 ${got}, not with ${expected}`);
      }
      const ends = await Promise.all([readText(handle, 0), readText(handle, Math.max(0, position - MAGIC.length))]);
      if (position < SHORTEST || ends.some((end) => end !== MAGIC)) {
        throw new WrongFileError(`what arrived as ${file.path} is not a Parquet file`);
      }
    },
    flush: () => handle.sync(),
    facts: () => ({ size: position, sha256: hash.copy().digest("hex") }),
    [Symbol.asyncDispose]: () => handle.close(),
  };
}

function notOurs(path: string, cause?: unknown): UsageError {
  return new UsageError(
    `${path} is not a regular file`,
    "Move it away, or choose another folder with --output.",
    cause,
  );
}

function tooLarge(path: string, cause: unknown): StoppedError {
  return new StoppedError(
    `the file system of ${path} cannot hold a file of this size`,
    "Choose a folder on another disk with --output.",
    cause,
  );
}

async function hashFile(handle: FileHandle, hash: Hash, onBytes: (bytes: number) => void): Promise<number> {
  let size = 0;
  for await (const piece of handle.createReadStream({ start: 0, autoClose: false, highWaterMark: 1 << 20 })) {
    hash.update(piece as Buffer);
    size += (piece as Buffer).length;
    onBytes(size);
  }
  return size;
}

async function readText(handle: FileHandle, position: number): Promise<string> {
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(MAGIC.length), 0, MAGIC.length, position);
  return buffer.subarray(0, bytesRead).toString("latin1");
}

/** The note beside a part; null if there is none that can be used. */
async function readNote(path: string): Promise<Note | null> {
  try {
    const text = await readSmallFile(path, LARGEST_NOTE);
    const { url, sha256, size, etag, origin } = JSON.parse(text ?? "null") as Partial<Record<keyof Note, unknown>>;
    const isNote =
      typeof url === "string" &&
      (sha256 === null || (typeof sha256 === "string" && /^[\da-f]{64}$/.test(sha256))) &&
      (size === null || (Number.isSafeInteger(size) && (size as number) >= 0)) &&
      (etag === null || (typeof etag === "string" && STRONG_ETAG.test(etag))) &&
      typeof origin === "string";
    return isNote ? ({ url, sha256, size, etag, origin } as Note) : null;
  } catch {
    return null;
  }
}
