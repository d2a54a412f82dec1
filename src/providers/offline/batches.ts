import { createReadStream, createWriteStream } from "node:fs";
import { access, copyFile, mkdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { errorCode } from "../../errors.ts";
import { type BatchProvider, type BatchRequest, type BatchResult, type BatchState, newBatch } from "../batch.ts";
import { asObject, asText, parseJson } from "../json.ts";
import { splitLines } from "../lines.ts";
import { CallError, type Completion } from "../provider.ts";
import { connectOffline } from "./offline.ts";

/** Names of files and batches of this provider, such as `datagen-1f.jsonl.batch`. */
const NAME = /^\w[\w.-]*$/;

/**
 * Batches without a server, in a folder: `NAME` is the file that was sent, `NAME.batch` its batch, `NAME.output` the
 * answers. Each file is complete when it appears. A batch is answered when its state is first asked for.
 */
export async function connectOfflineBatches(model: string, folder: string): Promise<BatchProvider> {
  const provider = await connectOffline(model);
  const { place, read, save, existing, has, lines, remove } = batchFiles(folder);

  /** Answers every line of a file. @returns their number */
  async function answer(fileId: string, outputId: string, signal: AbortSignal): Promise<number> {
    let count = 0;
    async function* results() {
      for await (const line of lines(fileId)) {
        const { customId, ...question } = JSON.parse(line) as BatchRequest;
        // No timeout is needed: every request is short.
        signal.throwIfAborted();
        const completion = await provider.complete({ ...question, timeoutMs: 0 });
        count += 1;
        yield `${JSON.stringify({ customId, completion })}\n`;
      }
    }
    await place(outputId, (path) => pipeline(results(), createWriteStream(path)));
    return count;
  }

  return {
    limits: { requests: 50_000, bytes: 200_000_000 },

    probe: () => Promise.resolve(),

    line: ({ customId, endpoint, model: asked, prompt, parameters }) =>
      // The pieces are left out; they repeat the messages.
      JSON.stringify({
        customId,
        endpoint,
        model: asked,
        prompt: { messages: prompt.messages, pieces: [] },
        parameters,
      }),

    async upload(path, name, signal) {
      signal.throwIfAborted();
      await place(name, (temporary) => copyFile(path, temporary));
      return name;
    },

    create(fileId, _options, signal) {
      signal.throwIfAborted();
      return save(newBatch(`${fileId}.batch`));
    },

    async find({ name }) {
      const batch = await read(`${name}.batch`);
      return { fileId: (await has(name)) ? name : null, batch };
    },

    async get(batchId, signal) {
      const state = await existing(batchId);
      if (state.status !== "in_progress") return state;
      const fileId = batchId.replace(/\.batch$/, "");
      const outputFileId = `${fileId}.output`;
      const total = await answer(fileId, outputFileId, signal);
      const counts = { total, completed: total, failed: 0 };
      return save({ ...state, status: "completed", counts, progress: 1, outputFileId });
    },

    async cancel(batchId) {
      const state = await existing(batchId);
      return state.status === "in_progress" ? save({ ...state, status: "cancelled" }) : state;
    },

    lines,

    async remove(fileId) {
      await Promise.all([remove(fileId), remove(`${fileId}.batch`)]);
    },

    result: (line) => readResult(line),
  };
}

/** The folder with the files of batches. */
function batchFiles(folder: string) {
  function pathOf(id: string): string {
    // Ids come from the database and from files in the folder. Both may be somebody else's, so an id must not be a path.
    if (NAME.test(id)) return join(folder, id);
    throw new CallError(
      "bad_request",
      `${JSON.stringify(id.slice(0, 100))} is not the name of a batch or of its files`,
    );
  }

  /** Writes a file at a temporary path, then renames it, so that it appears complete. */
  async function place(id: string, write: (temporary: string) => Promise<unknown>): Promise<void> {
    await mkdir(folder, { recursive: true });
    const temporary = pathOf(`${id}.part`);
    await write(temporary);
    await rename(temporary, pathOf(id));
  }

  async function read(batchId: string): Promise<BatchState | null> {
    const path = pathOf(batchId);
    try {
      return JSON.parse(await readFile(path, "utf8")) as BatchState;
    } catch (error) {
      if (error instanceof SyntaxError) throw new CallError("bad_request", `${path} is damaged: ${error.message}`);
      if (errorCode(error) === "ENOENT") return null;
      throw error;
    }
  }

  async function save(state: BatchState): Promise<BatchState> {
    await place(state.id, (path) => writeFile(path, JSON.stringify(state)));
    return state;
  }

  async function existing(batchId: string): Promise<BatchState> {
    const state = await read(batchId);
    if (!state) throw missing(`batch ${batchId}`);
    return state;
  }

  const missing = (what: string) =>
    new CallError("bad_request", `there is no ${what} in ${folder}`, { httpStatus: 404 });

  async function* lines(fileId: string): AsyncGenerator<string> {
    try {
      yield* splitLines(createReadStream(pathOf(fileId)));
    } catch (error) {
      throw errorCode(error) === "ENOENT" ? missing(`file ${fileId}`) : error;
    }
  }

  const has = (id: string) =>
    access(pathOf(id)).then(
      () => true,
      () => false,
    );

  const remove = (id: string) => rm(pathOf(id), { force: true });

  return { place, read, save, existing, has, lines, remove };
}

function readResult(text: string): BatchResult {
  const line = asObject(parseJson(text));
  const customId = asText(line?.["customId"]);
  const completion = asObject(line?.["completion"]);
  if (customId === null || !completion) {
    return {
      customId,
      error: new CallError("malformed", `a line of the results is not a result: ${text.slice(0, 500)}`),
    };
  }
  return { customId, completion: completion as unknown as Completion };
}
