import type { Socket } from "node:net";
import { buildConnector, Client, Dispatcher } from "undici";

/**
 * How long a connection rests after an answer. Some servers and proxies send a second answer, which nobody asked for,
 * shortly after the first. Bytes that arrive while a connection rests close it; bytes that arrive after the next request
 * has left would be taken for its answer.
 */
const REST_MS = 20;

/** The name by which undici's proxy calls a pool, in the place of `dispatch`, where it opens no tunnel. */
const DISPATCH = Object.getOwnPropertySymbols(Client.prototype).find(({ description }) => description === "dispatch");

/**
 * The connections to one origin, each with one request at a time. As many are opened as are needed. The one that was used
 * last is used first, once it has rested.
 */
export class RestingPool extends Dispatcher {
  readonly #origin: string | URL;
  readonly #options: Client.Options;
  readonly #clients = new Set<Client>();
  /** In the order in which their last answers ended. */
  readonly #resting: { client: Client; since: number }[] = [];
  readonly #rested: Client[] = [];
  #isWatching = false;

  constructor(origin: string | URL, { connect, ...options }: Client.Options) {
    super();
    if (DISPATCH) Object.defineProperty(this, DISPATCH, { value: this.dispatch.bind(this) });
    this.#origin = origin;
    // One connector for all, so that they share TLS sessions.
    const connector = typeof connect === "function" ? connect : buildConnector({ ...connect, allowH2: false });
    this.#options = {
      ...options,
      connect: (target, callback) =>
        connector(target, (...[error, socket]) => {
          if (error) callback(error, null);
          else callback(null, skippingContinue(socket));
        }),
      allowH2: false,
    };
  }

  override dispatch(options: Dispatcher.DispatchOptions, handler: Dispatcher.DispatchHandler): boolean {
    const client = this.#take();
    return client.dispatch(options, new Watched(handler, (isUsable) => this.#giveBack(client, isUsable)));
  }

  #take(): Client {
    const rested = this.#rested.pop();
    if (rested) return rested;
    const client = new Client(this.#origin, this.#options);
    this.#clients.add(client);
    return client;
  }

  #giveBack(client: Client, isUsable: boolean): void {
    if (isUsable) {
      this.#resting.push({ client, since: performance.now() });
      this.#watch();
    } else {
      this.#clients.delete(client);
      void client.destroy();
    }
  }

  /** Sees to it that connections can be used again once they have rested. */
  #watch(): void {
    const [first] = this.#resting;
    if (this.#isWatching || !first) return;
    this.#isWatching = true;
    const atEnd = () => {
      const now = performance.now();
      // Between a timer and this, all that has arrived is read: also where the process was too busy to do so before.
      setImmediate(() => {
        for (let next = this.#resting[0]; next && now - next.since >= REST_MS; next = this.#resting[0]) {
          this.#resting.shift();
          this.#rested.push(next.client);
        }
        this.#isWatching = false;
        this.#watch();
      });
    };
    setTimeout(atEnd, Math.max(0, first.since + REST_MS - performance.now())).unref();
  }

  override async close(): Promise<void> {
    await Promise.all([...this.#clients].map((client) => client.close()));
  }

  /** Undici gives no callback here. */
  override async destroy(given?: unknown): Promise<void> {
    const reason = given instanceof Error ? given : null;
    await Promise.all([...this.#clients].map((client) => client.destroy(reason)));
  }
}

/** One interim answer or more; no line of JSON looks like it. */
const CONTINUE = /^(?:HTTP\/1\.[01] 100(?: [^\r\n]*)?\r\n(?:[^\r\n]+\r\n)*\r\n)+/;
const LONGEST_CONTINUE = 4_096;
const H = 0x48;

/**
 * Leaves out "100 Continue", which a server may send although nobody has asked for it (RFC 9110, 15.2): undici breaks the
 * connection off there.
 */
function skippingContinue<S extends Socket>(socket: S): S {
  const read = socket.read.bind(socket) as (size?: number) => Buffer | null;
  socket.read = (size?: number) => {
    const bytes = read(size);
    if (bytes?.[0] !== H) return bytes;
    const [skipped = ""] = CONTINUE.exec(bytes.toString("latin1", 0, LONGEST_CONTINUE)) ?? [];
    return bytes.subarray(skipped.length);
  };
  return socket;
}

/** Hands on what comes, and says when the request has ended and whether its connection can be used again. */
class Watched implements Dispatcher.DispatchHandler {
  readonly #handler: Dispatcher.DispatchHandler;
  readonly #onEnd: (isUsable: boolean) => void;

  constructor(handler: Dispatcher.DispatchHandler, onEnd: (isUsable: boolean) => void) {
    this.#handler = handler;
    this.#onEnd = onEnd;
  }

  onRequestStart(controller: Dispatcher.DispatchController, context: unknown): void {
    this.#handler.onRequestStart?.(controller, context);
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    status: number,
    headers: Parameters<NonNullable<Dispatcher.DispatchHandler["onResponseStart"]>>[2],
  ): void {
    this.#handler.onResponseStart?.(controller, status, headers);
  }

  onResponseData(controller: Dispatcher.DispatchController, piece: Buffer): void {
    this.#handler.onResponseData?.(controller, piece);
  }

  onResponseEnd(controller: Dispatcher.DispatchController, trailers: Record<string, string | string[]>): void {
    this.#handler.onResponseEnd?.(controller, trailers);
    this.#onEnd(true);
  }

  onResponseError(controller: Dispatcher.DispatchController, error: Error): void {
    this.#handler.onResponseError?.(controller, error);
    this.#onEnd(false);
  }
}
