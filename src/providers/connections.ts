import type { Socket } from "node:net";
import { buildConnector, Client, Dispatcher } from "undici";

/**
 * How long a connection rests after an answer. Some servers and proxies send a second answer, without a request, shortly
 * after the first. If bytes arrive while a connection rests, it is closed. If they arrived after the next request was
 * sent, they would be read as its answer.
 */
const REST_MS = 20;

/** The method that undici's proxy calls on a pool, instead of `dispatch`, when it opens no tunnel. */
const DISPATCH = Object.getOwnPropertySymbols(Client.prototype).find(({ description }) => description === "dispatch");

/**
 * The connections to one origin. Each carries one request at a time; new ones are opened as needed. Of the rested
 * connections, the one that was used last is used first.
 */
export class RestingPool extends Dispatcher {
  readonly #origin: string | URL;
  readonly #options: Client.Options;
  readonly #clients = new Set<Client>();
  /** Ordered by the end of their last answers. */
  readonly #resting: { client: Client; since: number }[] = [];
  readonly #rested: Client[] = [];
  #isWatching = false;

  constructor(origin: string | URL, { connect, ...options }: Client.Options) {
    super();
    if (DISPATCH) Object.defineProperty(this, DISPATCH, { value: this.dispatch.bind(this) });
    this.#origin = origin;
    // All connections use one connector, so that they share TLS sessions.
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
    return client.dispatch(options, new Watched(handler, (isUsable) => this.#release(client, isUsable)));
  }

  #take(): Client {
    const rested = this.#rested.pop();
    if (rested) return rested;
    const client = new Client(this.#origin, this.#options);
    this.#clients.add(client);
    return client;
  }

  #release(client: Client, isUsable: boolean): void {
    if (isUsable) {
      this.#resting.push({ client, since: performance.now() });
      this.#watch();
    } else {
      this.#clients.delete(client);
      void client.destroy();
    }
  }

  /** Waits until the first connection has rested, and makes it usable again. */
  #watch(): void {
    const [first] = this.#resting;
    if (this.#isWatching || !first) return;
    this.#isWatching = true;
    const atEnd = () => {
      const now = performance.now();
      // Sockets are read between a timer and this callback: bytes that arrived during the rest have closed the connection.
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

  /** Undici passes no callback here. */
  override async destroy(given?: unknown): Promise<void> {
    const reason = given instanceof Error ? given : null;
    await Promise.all([...this.#clients].map((client) => client.destroy(reason)));
  }
}

/** One or more interim answers. No line of JSON looks like one. */
const CONTINUE = /^(?:HTTP\/1\.[01] 100(?: [^\r\n]*)?\r\n(?:[^\r\n]+\r\n)*\r\n)+/;
const LONGEST_CONTINUE = 4_096;
const H = 0x48;

/**
 * Drops "100 Continue" answers. A server may send one without being asked (RFC 9110, 15.2), and undici would break off
 * the connection.
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

/** Passes all events on, and reports the end of a request and whether its connection can be used again. */
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
