import type { BatchProvider } from "./batch.ts";
import { idIn } from "./batch-ids.ts";
import { readBatch, readResult } from "./batch-protocol.ts";
import {
  type Pages,
  PROBE_TIMEOUT_MS,
  requestsTo,
  tooLargeFile,
  unexpected,
  UPLOAD_TIMEOUT_MS,
  unlessEnded,
} from "./batch-requests.ts";
import { asObject, asText } from "./json.ts";
import { CallError } from "./provider.ts";
import { bodyOf, PATHS, type Server } from "./server.ts";
import { uploadForm } from "./upload-form.ts";

/** The differences between servers in their batch APIs. */
interface Dialect {
  limits: BatchProvider["limits"];
  /** The members of a line besides its id and its body. */
  envelope(path: string): object;
  upload: { path: string; fields(name: string): Record<string, string> };
  /** The members that create a batch, besides its file and its endpoint. */
  creation(name: string): object;
  /** Queries for the lists of files and of batches. */
  files: Record<string, string>;
  batches: Record<string, string>;
}

/** A list comes in pages, and the last object of one leads to the next. */
export const PAGES: Pages = {
  objects: (page) => (Array.isArray(page) ? page : asObject(page)?.["data"]),
  next: (page, last) => {
    const after = asObject(page)?.["has_more"] === true ? asText(last?.["id"]) : null;
    return after === null ? null : { after };
  },
};

/** What servers call a file that they have not read yet. */
const BEING_READ = /^(?:pending|running|not_?running|processing|queued|importing|validating)$/i;

/** The batch API of a server with OpenAI's endpoints for files and batches. */
export function serverBatches(server: Server, dialect: Dialect): BatchProvider {
  const { apiKey, model } = server;
  const { ask, list, lines, remove } = requestsTo(server);
  const fileAt = (fileId: string) => `/files/${encodeURIComponent(fileId)}`;
  const batchOf = (value: unknown) => readBatch(value, apiKey);
  const pathOf = (batchId: string) => `/batches/${encodeURIComponent(batchId)}`;
  const get = async (batchId: string, signal: AbortSignal) => batchOf(await ask("get", pathOf(batchId), {}, signal));

  return {
    limits: dialect.limits,

    async probe(signal) {
      const page = await ask("get", "/batches", { query: { limit: "1" }, timeout: PROBE_TIMEOUT_MS }, signal);
      if (!Array.isArray(PAGES.objects(page))) throw unexpected("a list of batches", page, apiKey);
    },

    line({ customId, ...question }) {
      const envelope = dialect.envelope(`/v1${PATHS[question.endpoint]}`);
      return JSON.stringify({ custom_id: customId, ...envelope, body: bodyOf(server, question) });
    },

    async upload(path, name, signal) {
      const form = await uploadForm(path, name, dialect.upload.fields(name));
      const file = await ask("post", dialect.upload.path, { ...form, timeout: UPLOAD_TIMEOUT_MS }, signal).catch(
        (error: unknown) => {
          throw tooLargeFile(error);
        },
      );
      const id = idIn(asObject(file)?.["id"], apiKey);
      if (id === null) throw unexpected("a file", file, apiKey);
      return id;
    },

    async create(fileId, { endpoint, name }, signal) {
      const body = { input_file_id: fileId, endpoint: `/v1${PATHS[endpoint]}`, ...dialect.creation(name) };
      const created = await ask("post", "/batches", { body }, signal).catch(async (error: unknown) => {
        throw await refusalOf(error, () => ask("get", fileAt(fileId), {}, signal));
      });
      return batchOf(asObject(created)?.["job"] ?? created);
    },

    async find({ name, fileId: known }, signal) {
      // Gateways may give files other names, and keep no metadata of batches.
      const files: (string | null)[] = known === null ? [] : [known];
      for await (const file of list("/files", dialect.files, PAGES, signal)) {
        if (file["filename"] === name) files.push(idIn(file["id"], apiKey));
      }
      for await (const batch of list("/batches", dialect.batches, PAGES, signal)) {
        const fileId = idIn(batch["input_file_id"], apiKey);
        const mark = asObject(batch["metadata"])?.["datagen"];
        const isIt = mark === undefined ? fileId !== null && files.includes(fileId) : mark === name;
        if (isIt) return { fileId, batch: batchOf(batch) };
      }
      return { fileId: files[0] ?? null, batch: null };
    },

    get,

    async cancel(batchId, signal) {
      const cancelled = await unlessEnded(ask("post", `${pathOf(batchId)}/cancel`, {}, signal));
      return cancelled === null ? await get(batchId, signal) : batchOf(cancelled);
    },

    lines: (fileId, requests, signal) => lines(`${fileAt(fileId)}/content`, requests, signal),

    remove: (fileId, signal) => remove(fileAt(fileId), signal),

    result: (line) => readResult(line, model, apiKey),
  };
}

/**
 * The error of a batch that was refused: one that passes, if the server has not read its file yet. Azure's takes a while.
 * @param file asks for the file
 */
async function refusalOf(refused: unknown, file: () => Promise<unknown>): Promise<unknown> {
  if (!(refused instanceof CallError) || ![400, 409, 422].includes(refused.details.httpStatus ?? 0)) return refused;
  const status = asText(asObject(await file().catch(() => null))?.["status"]) ?? "";
  if (!BEING_READ.test(status)) return refused;
  return new CallError(
    "server_error",
    `the server still reads the file of the batch: ${refused.message}`,
    refused.details,
  );
}
