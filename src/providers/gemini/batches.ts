import type { BatchProvider } from "../batch.ts";
import { idIn } from "../batch-ids.ts";
import {
  type Pages,
  requestsWith,
  type Send,
  tooLargeFile,
  unexpected,
  UPLOAD_TIMEOUT_MS,
  within,
  unlessEnded,
} from "../batch-requests.ts";
import { asObject, asText, type Json } from "../json.ts";
import { CallError } from "../provider.ts";
import type { Connection } from "../provider-info.ts";
import { refusalOf, TransportError } from "../refusal.ts";
import { createFileFetch } from "../transport.ts";
import { checkedId, readBatch, readResult } from "./batch-answers.ts";
import { bodyOf } from "./body.ts";
import { answerTo, createClient, fetchFor, type SdkRequest, timeLimit, uploadFetch } from "./sdk.ts";

/** The largest file that the API takes. It states no limit for requests. */
const LIMITS = { requests: 50_000, bytes: 2_000_000_000 };

/** How many objects a page of a list has. */
const PAGE_SIZE = 100;

/** The end of the paths that give a file. */
const DOWNLOAD = ":download";

/** The batch API of the Gemini API. A submission is found again by the display names of its file and its batch. */
export function connectGeminiBatches(connection: Connection): BatchProvider {
  const { model, apiKey } = connection;
  const api = connectApi(connection);
  const { client, by, ask } = api;

  const get = async (batchId: string, signal: AbortSignal) => {
    const name = checkedId(batchId);
    const batch = await ask(
      by((httpOptions) => client.batches.get({ name, config: { httpOptions } })),
      signal,
    );
    return readBatch(batch, apiKey);
  };

  return {
    limits: LIMITS,
    ...filesOf(connection, api),
    find: finder(api, apiKey),

    async probe(signal) {
      const page = await ask(
        by((httpOptions) => client.batches.list({ config: { pageSize: 1, httpOptions } })),
        signal,
      );
      if (!Array.isArray(pagesOf("operations").objects(page))) throw unexpected("a list of batches", page, apiKey);
    },

    line: ({ customId, ...question }) => JSON.stringify({ key: customId, request: bodyOf(question) }),

    async create(fileId, { name: displayName }, signal) {
      const src = checkedId(fileId);
      const batch = await ask(
        by((httpOptions) => client.batches.create({ model, src, config: { displayName, httpOptions } })),
        signal,
      );
      return readBatch(batch, apiKey);
    },

    get,

    async cancel(batchId, signal) {
      const name = checkedId(batchId);
      const cancel = by((httpOptions) => client.batches.cancel({ name, config: { httpOptions } }));
      await unlessEnded(ask(cancel, signal));
      // The answer to a cancel is empty.
      return await get(batchId, signal);
    },

    result: (line) => readResult(line, model, apiKey),
  };
}

/** The SDK's client, and what sends its requests. */
function connectApi(connection: Connection) {
  const fetch = fetchFor(connection, createFileFetch(connection, DOWNLOAD));
  const client = createClient(connection, fetch);

  /** Lets the SDK send a request. */
  const by =
    (request: SdkRequest): Send =>
    async ({ signal, timeout }) => {
      using late = timeLimit(timeout, signal);
      const response = await answerTo(fetch, late.signal, request);
      if (!response.ok) throw ofMissing(await refusalOf(response));
      return response;
    };

  return { fetch, client, by, ...requestsWith(connection) };
}

type Api = ReturnType<typeof connectApi>;

function filesOf(
  connection: Connection,
  { fetch, client, by, lines, remove }: Api,
): Pick<BatchProvider, "upload" | "lines" | "remove"> {
  const { apiKey } = connection;
  return {
    async upload(path, name, signal) {
      const file = await within(signal, apiKey, async (own) => {
        using late = timeLimit(UPLOAD_TIMEOUT_MS, own);
        const uploader = createClient(connection, uploadFetch(fetch, late.signal));
        return await uploader.files
          .upload({ file: path, config: { displayName: name, mimeType: "application/jsonl" } })
          .catch((error: unknown) => {
            throw tooLargeFile(ofUpload(error));
          });
      });
      const id = idIn(asObject(file)?.["name"], apiKey);
      if (id === null) throw unexpected("a file", file, apiKey);
      return checkedId(id);
    },

    lines(fileId, requests, signal) {
      const file = checkedId(fileId);
      // Nothing is written to the path.
      const download = by((httpOptions) =>
        client.files.download({ file, downloadPath: file, config: { httpOptions } }),
      );
      return lines(file, download, requests, signal);
    },

    remove: (fileId, signal) =>
      remove(
        by((httpOptions) => client.files.delete({ name: checkedId(fileId), config: { httpOptions } })),
        signal,
      ),
  };
}

function finder({ client, by, list }: Api, apiKey: Connection["apiKey"]): BatchProvider["find"] {
  return async ({ name }, signal) => {
    let fileId: string | null = null;
    const pageOfFiles = (place: object) =>
      by((httpOptions) => client.files.list({ config: { pageSize: PAGE_SIZE, ...place, httpOptions } }));
    for await (const file of list("files", pageOfFiles, pagesOf("files"), signal)) {
      if (file["displayName"] === name) fileId ??= idIn(file["name"], apiKey);
    }
    const pageOfBatches = (place: object) =>
      by((httpOptions) => client.batches.list({ config: { pageSize: PAGE_SIZE, ...place, httpOptions } }));
    for await (const batch of list("batches", pageOfBatches, pagesOf("operations"), signal)) {
      if (asObject(batch["metadata"])?.["displayName"] === name) return { fileId, batch: readBatch(batch, apiKey) };
    }
    return { fileId, batch: null };
  };
}

/** A page has a token that leads to the next one. An empty list is left out of its page. */
export function pagesOf(member: string): Pages {
  return {
    objects: (page) => (isEmpty(asObject(page)) ? [] : asObject(page)?.[member]),
    next(page) {
      const pageToken = asText(asObject(page)?.["nextPageToken"]);
      return pageToken ? { pageToken } : null;
    },
  };
}

function isEmpty(page: Json | undefined): boolean {
  return page !== undefined && Object.keys(page).every((name) => name === "nextPageToken");
}

/** The API says of a file or a batch that does not exist that it may be somebody else's. */
function ofMissing(error: CallError): CallError {
  const isMissing = error.details.httpStatus === 403 && /may not exist|not exist/i.test(error.message);
  return isMissing ? new CallError(error.reason, error.message, { ...error.details, httpStatus: 404 }) : error;
}

/** The error of an upload. All but those of a request and of the disk say that the SDK cannot go on with an answer. */
function ofUpload(error: unknown): unknown {
  const isOfRequest = error instanceof CallError || error instanceof TransportError;
  const isOfAnswer = error instanceof Error && !isOfRequest && !("syscall" in error);
  return isOfAnswer ? new CallError("malformed", `the SDK cannot use the answer: ${error.message}`) : error;
}
