import { createHash } from "node:crypto";
import type { Config } from "../config/schema.ts";
import { UsageError } from "../errors.ts";
import { filesAt } from "../files/globs.ts";
import { formatOf, sourceOf } from "./index.ts";
import { INPUT_FILE } from "./input-file.ts";
import type { Column, OpenOptions, OpenSource, SourceRow } from "./source.ts";

type DataConfig = Config["data_config"];

/** How the files of a config are called in a sentence. */
export function nameOfInputs({ input_data_path: path }: Pick<DataConfig, "input_data_path">): string {
  if (typeof path === "string") return path;
  const [first = "", ...others] = path;
  return others.length === 0 ? first : `${first} and ${others.length} more`;
}

/**
 * The files of a config in the order in which they are read.
 * @throws UsageError when a path or a pattern leads to none, or when a dataset must be pulled first
 */
function inputFiles({ input_data_path: named }: Pick<DataConfig, "input_data_path">): string[] {
  return [named].flat().flatMap((path) => {
    const files = filesAt(path);
    if (files.length === 0) throw new UsageError(`no file matches ${path}`, INPUT_FILE.missing);
    return files;
  });
}

/** Rows of one file, in a row. */
export interface FileChunk {
  path: string;
  columns: readonly Column[] | null;
  rows: readonly SourceRow[];
}

/** A file of a config after it was read. */
export interface FileRead {
  path: string;
  /** The SHA-256 of its bytes, in hex. */
  sha256: string;
}

/** The files of a config, read one after the other. */
export interface OpenFiles {
  paths: readonly string[];
  chunks(): AsyncGenerator<FileChunk>;
  /** Reads the rest. @returns what it had, and the SHA-256 of all files: of the bytes of a single one */
  finish(): Promise<{ rest: number | null; sha256: string; read: readonly FileRead[] }>;
  close(): Promise<void>;
}

export function openFiles(data: Pick<DataConfig, "input_data_path" | "format">, given: OpenOptions): OpenFiles {
  const paths = inputFiles(data);
  const options = { ...given, onWarning: once(given.onWarning) };
  const read: FileRead[] = [];
  let next = 0;
  let open: OpenSource | null = null;

  async function openNext(): Promise<OpenSource | null> {
    const path = paths[next];
    if (path === undefined) return null;
    open = await sourceOf(data.format ?? formatOf(path)).open(path, options);
    return open;
  }

  async function closeOpen(): Promise<void> {
    const source = open;
    open = null;
    await source?.close();
  }

  async function endOpen(source: OpenSource): Promise<void> {
    read.push({ path: paths[next] ?? "", sha256: await source.sha256() });
    await closeOpen();
    next += 1;
  }

  return {
    paths,
    async *chunks() {
      for (let source = await openNext(); source; source = await openNext()) {
        const path = paths[next] ?? "";
        const { columns } = source;
        // A file without rows has columns, too.
        yield { path, columns, rows: [] };
        for await (const rows of source.rows()) yield { path, columns, rows };
        await endOpen(source);
      }
    },
    async finish() {
      let rest: number | null = 0;
      for (let source = open ?? (await openNext()); source; source = await openNext()) {
        const count = await restOf(source);
        rest = rest === null || count === null ? null : rest + count;
        await endOpen(source);
      }
      const [only, ...others] = read;
      const list = read.map(({ sha256 }) => `${sha256}\n`).join("");
      const sha256 = only && others.length === 0 ? only.sha256 : createHash("sha256").update(list).digest("hex");
      return { rest, sha256, read };
    },
    close: closeOpen,
  };
}

/** Passes each message on only once: what is true of one file is often true of all. */
function once(onWarning: (message: string) => void): (message: string) => void {
  const said = new Set<string>();
  return (message) => {
    if (said.has(message)) return;
    said.add(message);
    onWarning(message);
  };
}

async function restOf(source: OpenSource): Promise<number | null> {
  try {
    return await source.countRest();
  } catch (error) {
    if (error instanceof UsageError) return null;
    throw error;
  }
}
