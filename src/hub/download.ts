import { rename, rm } from "node:fs/promises";
import { StoppedError } from "../errors.ts";
import type { FileAnswer, Hub } from "./hub.ts";
import type { RemoteFile } from "./listing.ts";
import { LARGEST, type Note, openPart, type Part, STRONG_ETAG, WrongFileError } from "./part.ts";
import { PassingError } from "./refusal.ts";

/** A file that is complete, but has not its name yet. */
export interface Downloaded {
  size: number;
  sha256: string;
  /** Gives it its name. */
  keep: () => Promise<void>;
}

/** After so many bytes, a connection that breaks counts as the first one that does. */
const PROGRESS_BYTES = 1 << 20;

/** After so many wrong contents in a row, no more are fetched. */
const MOST_WRONG = 2;

/**
 * Fetches a file into `TARGET.part`, from where an earlier pull stopped, and checks its length, its SHA-256 if the Hub
 * says it, and that it is a Parquet file.
 * @param onBytes is told how many bytes of the file are here
 * @throws StoppedError when the Hub does not send it, or not the right one
 */
export async function download(
  hub: Hub,
  file: RemoteFile,
  { target, onBytes }: { target: string; onBytes: (bytes: number) => void },
): Promise<Downloaded> {
  await using part = await openPart(`${target}.part`, `${target}.part.json`, file, onBytes);
  let wrong = 0;
  await hub.retry(async (progress) => {
    try {
      if (!part.isComplete()) await receive(hub, file, part, progress);
      await part.check();
    } catch (error) {
      if (!(error instanceof WrongFileError)) throw error;
      await part.restart(null);
      wrong += 1;
      if (wrong < MOST_WRONG) throw new PassingError(error.message, null, error);
      throw new StoppedError(
        error.message,
        "The Hub may be replacing it. Pull again later, with the same command.",
        error,
      );
    }
  });
  await part.flush();
  const { size, sha256 } = part.facts();
  return {
    size,
    sha256,
    keep: async () => {
      await rename(`${target}.part`, target);
      await rm(`${target}.part.json`, { force: true });
    },
  };
}

/** Asks for what is missing of a file, and writes it to the part. */
async function receive(hub: Hub, file: RemoteFile, part: Part, progress: () => void): Promise<void> {
  const { note: before, position: from } = part;
  const range = from === 0 ? {} : { range: `bytes=${from}-` };
  // Another server than the Hub is asked without a condition: its copies may have other ETags. What arrives is compared.
  const isOfHub = before !== null && before.origin === new URL(hub.endpoint).origin;
  const condition = from > 0 && isOfHub && before.etag !== null ? { "if-range": before.etag } : {};
  const answer = await hub.file(file.url, { ...range, ...condition }, `${file.path} is no longer in the dataset`);
  try {
    const now = noteOf(answer, file);
    if (answer.status !== 206 && answer.status !== 416) await part.restart(now);
    else checkRest(answer, { file, before, now, from });
    let fresh = 0;
    for await (const piece of answer.body) {
      if (part.position + piece.length > (now.size ?? LARGEST)) {
        throw new WrongFileError(`${file.path} is longer than the ${now.size ?? LARGEST} bytes that the Hub states`);
      }
      await part.append(piece);
      fresh += piece.length;
      if (fresh >= PROGRESS_BYTES) progress();
    }
    if (now.size !== null && part.position < now.size) {
      throw new PassingError(`${file.path} ended after ${part.position} of ${now.size} bytes`);
    }
  } finally {
    answer.body.destroy();
  }
  part.end();
}

/** What an answer says of the file. @throws WrongFileError when it is not the file that is asked for */
function noteOf({ headers, hub, origin, status }: FileAnswer, file: RemoteFile): Note {
  const commit = hub.get("x-repo-commit");
  if (file.commit !== null && commit !== null && commit !== file.commit && file.sha256 === null) {
    throw new WrongFileError(`the Hub sends ${file.path} of the commit ${commit}, not of ${file.commit}`);
  }
  if ((headers.get("content-encoding") ?? "identity") !== "identity") {
    throw new WrongFileError(`the server sends ${file.path} compressed, though it was not asked to`);
  }
  const linked = /^(?:W\/)?"?([\da-f]{64})"?$/i.exec(hub.get("x-linked-etag") ?? "")?.[1]?.toLowerCase() ?? null;
  if (file.sha256 !== null && linked !== null && linked !== file.sha256) {
    throw new WrongFileError(`the Hub has another ${file.path} than its list says`);
  }
  const stated = [file.size, numberIn(hub.get("x-linked-size")), totalOf(headers, status)];
  const sizes = [...new Set(stated.filter((size) => size !== null))];
  if (sizes.length > 1)
    throw new WrongFileError(`the Hub states ${sizes.join(" and ")} bytes as the size of ${file.path}`);
  const etag = headers.get("etag");
  return {
    url: file.url,
    sha256: file.sha256 ?? linked,
    size: sizes[0] ?? null,
    etag: etag !== null && STRONG_ETAG.test(etag) ? etag : null,
    origin,
  };
}

/** @throws WrongFileError when an answer is not the rest of the part that is here */
function checkRest(
  { status, headers }: FileAnswer,
  { file, before, now, from }: { file: RemoteFile; before: Note | null; now: Note; from: number },
): void {
  const isSame = before !== null && isSameFile(before, now, file.commit !== null);
  if (status === 416 || !isSame) throw new WrongFileError(`${file.path} has changed since a part of it was fetched`);
  const [, start, end] = /^bytes (\d+)-(\d+)\//.exec(headers.get("content-range") ?? "") ?? [];
  if (Number(start) === from && (now.size === null || Number(end) === now.size - 1)) return;
  throw new WrongFileError(`the server sends other bytes of ${file.path} than those from ${from} on`);
}

/** @param isPinned whether the URL names a commit, whose files do not change */
function isSameFile(before: Note, now: Note, isPinned: boolean): boolean {
  if (before.size !== null && now.size !== null && before.size !== now.size) return false;
  if (before.sha256 !== null && now.sha256 !== null) return before.sha256 === now.sha256;
  if (before.etag !== null && before.origin === now.origin) return before.etag === now.etag;
  return isPinned;
}

/** The size of the whole file, by the headers of the server that sends it. */
function totalOf(headers: Headers, status: number): number | null {
  if (status === 200) return numberIn(headers.get("content-length"));
  return numberIn(/^bytes [^/]+\/(\d+)$/.exec(headers.get("content-range") ?? "")?.[1] ?? null);
}

function numberIn(text: string | null): number | null {
  return text !== null && /^\d{1,15}$/.test(text.trim()) ? Number(text) : null;
}
