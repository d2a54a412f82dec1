import { randomBytes } from "node:crypto";
import { createWriteStream } from "node:fs";
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { batchesOf, type RemoteName } from "./providers/index.ts";

/** The purpose of what only this server keeps as a file: requests that came with the creation of their batch. */
export const INLINE = "inline";

/** A file that a provider has: one that was sent to it, or one with the results of a batch. */
export interface StoredFile {
  id: string;
  provider: RemoteName;
  name: string;
  /** As the provider names it; `batch_output` for results. */
  purpose: string;
  bytes: number;
  createdAt: Date;
  /** Where its content is. */
  path: string;
  isDeleted?: boolean;
}

/** The files of a loopback server, in a temporary folder. */
export interface FileStore extends AsyncDisposable {
  /** Oldest first. */
  readonly all: StoredFile[];
  add(
    facts: Pick<StoredFile, "provider" | "name" | "purpose">,
    content: Buffer | AsyncIterable<string>,
  ): Promise<StoredFile>;
}

export function createFileStore(): FileStore {
  const all: StoredFile[] = [];
  let folder: Promise<string> | undefined;
  return {
    all,
    async add(facts, content) {
      folder ??= mkdtemp(join(tmpdir(), "datagen-files-"));
      const hex = randomBytes(12).toString("hex");
      const id = batchesOf(facts.provider).fileId(hex);
      const path = join(await folder, hex);
      if (Buffer.isBuffer(content)) await writeFile(path, content);
      else await pipeline(content, createWriteStream(path));
      const file = { ...facts, id, bytes: (await stat(path)).size, createdAt: new Date(), path };
      all.push(file);
      return file;
    },
    async [Symbol.asyncDispose]() {
      if (folder) await rm(await folder, { recursive: true, force: true, maxRetries: 5 });
    },
  };
}

export interface FormPart {
  filename: string | undefined;
  content: Buffer;
}

/** The parts of a form by their names; undefined where the body is none. */
export function formIn(body: Buffer, contentType: string | undefined): Map<string, FormPart> | undefined {
  const boundary = /^multipart\/form-data;.*boundary="?([^";]+)/.exec(contentType ?? "")?.[1];
  if (boundary === undefined) return undefined;
  const parts = new Map<string, FormPart>();
  const delimiter = Buffer.from(`--${boundary}`);
  for (let at = body.indexOf(delimiter); at >= 0;) {
    const start = at + delimiter.length;
    const next = body.indexOf(delimiter, start);
    if (body.toString("latin1", start, start + 2) === "--") return parts;
    const head = body.indexOf("\r\n\r\n", start);
    if (next < 0 || head < 0) return undefined;
    const headers = body.toString("utf8", start, head);
    const name = / name="([^"]*)"/.exec(headers)?.[1];
    if (name === undefined) return undefined;
    // A line break before the delimiter belongs to it.
    const content = body.subarray(head + 4, next - 2);
    parts.set(name, { filename: / filename="([^"]*)"/.exec(headers)?.[1], content });
    at = next;
  }
  return undefined;
}
