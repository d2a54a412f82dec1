import type { Dispatcher } from "undici";
import { Body, decodeBody, TooLargeError } from "./bodies.ts";
import { CallError } from "./provider.ts";
import { connectionError } from "./connection-error.ts";

/** Header fields by their names in lower case. */
export type RawHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** What a server answered, with the whole body. */
export interface Answer {
  status: number;
  headers: RawHeaders;
  text: string;
}

/** No more than this is read of the body of an error. */
export const MOST_ERROR_BYTES = 1_000_000;

/**
 * Sends one request, and reads its answer to the end. It knows whether the request was sent: no byte of it is written
 * before `onRequestStart`.
 * @throws CallError when no whole answer comes
 */
export function exchange(
  dispatcher: Dispatcher,
  request: Dispatcher.DispatchOptions,
  { signal, mostBytes }: { signal: AbortSignal | null | undefined; mostBytes: number },
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const handler = new Exchange(mostBytes, resolve, reject);
    if (signal?.aborted) {
      handler.abort();
      return;
    }
    signal?.addEventListener("abort", () => handler.abort(), { once: true });
    try {
      dispatcher.dispatch(request, handler);
    } catch (error) {
      handler.onResponseError(undefined, error);
    }
  });
}

class Exchange implements Dispatcher.DispatchHandler {
  readonly #mostBytes: number;
  readonly #resolve: (answer: Answer) => void;
  readonly #reject: (error: CallError) => void;
  #controller: Dispatcher.DispatchController | undefined;
  #hasLeft = false;
  #isOver = false;
  #status = 0;
  #headers: RawHeaders = {};
  #body: Body | undefined;

  constructor(mostBytes: number, resolve: (answer: Answer) => void, reject: (error: CallError) => void) {
    this.#mostBytes = mostBytes;
    this.#resolve = resolve;
    this.#reject = reject;
  }

  /** The time is up. */
  abort(): void {
    this.#fail(
      this.#hasLeft
        ? new CallError("timeout", "the request timed out")
        : new CallError("connection", "there was no connection in time", { code: "ETIMEDOUT", hasLeft: false }),
    );
    this.#controller?.abort(new Error("the request is over"));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    if (this.#isOver) {
      controller.abort(new Error("the request is over"));
      return;
    }
    this.#controller = controller;
    this.#hasLeft = true;
  }

  onResponseStart(_: Dispatcher.DispatchController, status: number, headers: RawHeaders): void {
    if (status < 200 || this.#isOver) return;
    this.#status = status;
    this.#headers = headers;
    this.#body = new Body(this.#isSuccess ? this.#mostBytes : MOST_ERROR_BYTES);
  }

  onResponseData(controller: Dispatcher.DispatchController, piece: Buffer): void {
    if (this.#isOver) return;
    // Not at once: this is called while undici parses another body, and its parser must not be entered again.
    const next = this.#body?.add(piece, () => setImmediate(() => controller.resume()));
    if (next === "wait") controller.pause();
    if (next !== "full") return;
    if (this.#isSuccess) this.#fail(tooLarge(this.#status, this.#mostBytes));
    else this.#succeed();
    controller.abort(new Error("the answer is too large"));
  }

  onResponseEnd(): void {
    this.#succeed();
  }

  onResponseError(_: unknown, error: unknown): void {
    const failure = connectionError(error, this.#hasLeft);
    if (!this.#isSuccess || !this.#body?.hasBegun) this.#fail(failure);
    else this.#fail(new CallError(failure.reason, failure.message, { ...failure.details, httpStatus: this.#status }));
  }

  get #isSuccess(): boolean {
    return this.#status >= 200 && this.#status < 300;
  }

  #succeed(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    const coding = this.#headers["content-encoding"];
    const mostBytes = this.#isSuccess ? this.#mostBytes : MOST_ERROR_BYTES;
    try {
      const text = decodeBody(this.#body?.end() ?? Buffer.alloc(0), String(coding ?? ""), mostBytes);
      this.#resolve({ status: this.#status, headers: this.#headers, text });
    } catch (error) {
      if (!(error instanceof TooLargeError)) throw error;
      // For an error, the status alone is enough.
      if (this.#isSuccess) this.#reject(tooLarge(this.#status, this.#mostBytes));
      else this.#resolve({ status: this.#status, headers: this.#headers, text: "" });
    }
  }

  #fail(error: CallError): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#body?.end();
    this.#reject(error);
  }
}

/** The failure of an answer that is too large. It was generated, so it is paid. */
export function tooLarge(status: number, mostBytes: number): CallError {
  const message = `the answer is larger than the ${mostBytes / 1e6} MB that max_answer_mb in the config allows`;
  return new CallError("broken", message, { httpStatus: status });
}
