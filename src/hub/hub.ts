import { setTimeout as sleep } from "node:timers/promises";
import { InterruptedError, StoppedError } from "../errors.ts";
import { PassingError } from "./refusal.ts";
import { AGAIN, type Answer, type Body, createRequests, noAnswer, readText } from "./requests.ts";

/** What the requests to the Hub report. */
export type HubEvent =
  /** The Hub is asked again after a failure. */
  { type: "waiting"; reason: string; ms: number } | { type: "warning"; message: string };

/** How long the Hub is waited for. */
export interface Patience {
  /** The waits before the next tries; after the last one, a request has failed. */
  waitsMs: readonly number[];
  /** The longest wait that the Hub may ask for. The windows of its limits have five minutes. */
  longestWaitMs: number;
  /** Until the beginning of an answer. */
  answerMs: number;
  /** The longest pause in a body. */
  stalledMs: number;
  /** For a whole answer other than a file. */
  wholeMs: number;
}

const PATIENCE: Patience = {
  waitsMs: [500, 1_000, 2_000, 4_000, 8_000],
  longestWaitMs: 301_000,
  answerMs: 30_000,
  stalledMs: 60_000,
  wholeMs: 120_000,
};

/** Room for the list of 100,000 files. */
const MOST_JSON_BYTES = 64 * 1024 * 1024;

export interface HubOptions {
  /** The URL of the Hub, without a slash at its end. */
  endpoint: string;
  token: string | undefined;
  /** Such as `datagen/1.0.0`. */
  userAgent: string;
  signal: AbortSignal;
  onEvent: (event: HubEvent) => void;
  patience?: Partial<Patience> | undefined;
}

/** The beginning of the answer to a request for a file. The caller reads the body, or destroys it. */
export interface FileAnswer extends Omit<Answer, "body"> {
  body: AsyncIterable<Buffer> & { destroy: () => void };
}

/** The Hub, as it is asked for one dataset. */
export interface Hub {
  readonly endpoint: string;
  /**
   * What the Hub says of something, as JSON.
   * @param path below the endpoint
   * @param missing says what there is not, after 404
   */
  json(path: string, missing: string): Promise<unknown>;
  /** Asks for a file once. @throws PassingError when it may help to ask again */
  file(path: string, headers: Record<string, string>, missing: string): Promise<FileAnswer>;
  /** Repeats what throws PassingErrors, with waits. When `attempt` says that it made progress, all tries are left. */
  retry<T>(attempt: (progress: () => void) => Promise<T>): Promise<T>;
  close(): Promise<void>;
}

/** Connects to the Hub for one dataset. */
export function connectHub(id: string, options: HubOptions): Hub {
  const { endpoint, signal, onEvent } = options;
  const patience = { ...PATIENCE, ...options.patience };
  const requests = createRequests({ id, ...options, ...patience });

  async function retry<T>(attempt: (progress: () => void) => Promise<T>): Promise<T> {
    for (let tried = 0; ; tried += 1) {
      try {
        return await attempt(() => {
          tried = 0;
        });
      } catch (error) {
        if (signal.aborted) throw new InterruptedError("the pull was interrupted", AGAIN);
        if (!(error instanceof PassingError)) throw error;
        const wait = patience.waitsMs[tried];
        if (wait === undefined) throw new StoppedError(error.message, AGAIN, error);
        const ms = Math.max(wait, error.waitMs ?? 0);
        onEvent({ type: "waiting", reason: error.message, ms });
        await sleep(ms, undefined, { signal }).catch(() => {
          throw new InterruptedError("the pull was interrupted", AGAIN);
        });
      }
    }
  }

  async function jsonOf(path: string, missing: string): Promise<unknown> {
    const until = AbortSignal.any([signal, AbortSignal.timeout(patience.wholeMs)]);
    const answer = await requests.get(path, { headers: {}, missing, isFile: false, signal: until });
    const text = await readText(answer.body, MOST_JSON_BYTES).catch((error: unknown) => {
      throw error instanceof StoppedError ? error : noAnswer(new URL(endpoint), error);
    });
    try {
      return JSON.parse(text);
    } catch (error) {
      const type = answer.headers.get("content-type") ?? "no content type";
      const message = `${new URL(endpoint).host} answers ${path} with something that is not JSON (${type})`;
      throw new PassingError(message, null, error);
    }
  }

  return {
    endpoint,
    retry,
    json: (path, missing) => retry(() => jsonOf(path, missing)),
    async file(path, headers, missing) {
      const answer = await requests.get(path, { headers, missing, isFile: true, signal });
      return { ...answer, body: withErrors(answer.body, (error) => noAnswer(new URL(answer.origin), error)) };
    },
    close: requests.close,
  };
}

/** The pieces of a body, with other errors. */
function withErrors(body: Body, errorOf: (error: unknown) => Error): FileAnswer["body"] {
  return {
    async *[Symbol.asyncIterator]() {
      try {
        for await (const piece of body) yield piece as Buffer;
      } catch (error) {
        throw errorOf(error);
      }
    },
    destroy: () => void body.destroy(),
  };
}
