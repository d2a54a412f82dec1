import { providers } from "../../providers/index.ts";
import type { Completion, Provider } from "../../providers/provider.ts";
import type { JobMessage } from "../../queue/messages.ts";
import type { Variables } from "../server/environment.ts";
import { keyLeftOut } from "../server/server-of-run.ts";
import { connectionOf } from "../server/target.ts";
import type { Served, WorkerServer } from "./served.ts";

/** The most connections without a request that are kept: the queue decides which models are asked for. */
const MOST_IDLE = 32;

/** What a connection is made for. */
interface Asked {
  model: string;
  maxAnswerBytes: number;
}

interface Connected {
  provider: Promise<Provider>;
  inFlight: number;
}

/** The servers that share the jobs of a destination. */
export class ServerGroup {
  readonly destination: Served["destination"];
  readonly #servers: ServerConnections[];

  /** @throws UsageError when a key is missing */
  constructor(
    { destination, servers }: Served,
    variables: Variables,
    onEvent: (event: { type: "warning"; message: string }) => void,
  ) {
    this.destination = destination;
    this.#servers = servers.map((server) => new ServerConnections(server, variables));
    for (const { keyWarning } of this.#servers) {
      if (keyWarning !== null) onEvent({ type: "warning", message: keyWarning });
    }
  }

  /** The base URLs, or the name of a provider without a server. */
  get names(): string[] {
    return this.#servers.map(({ name }) => name);
  }

  /**
   * Sends a job to the server with the fewest requests in flight.
   * @throws CallError when there is no answer
   */
  async complete({ question, timeoutMs, maxAnswerBytes }: JobMessage): Promise<Completion> {
    const { messages, ...asked } = question;
    const prompt = { messages, pieces: messages.slice(-1).map(({ content }) => content) };
    const [server] = this.#servers.toSorted((a, b) => a.inFlight - b.inFlight);
    return await server!.using({ model: asked.model, maxAnswerBytes }, (provider) =>
      provider.complete({ ...asked, prompt, timeoutMs }),
    );
  }
}

/** A server of a worker: its connections, one for each model and limit of an answer. */
class ServerConnections {
  readonly name: string;
  /** Says why it gets no key although there is one; null if there is nothing to say. */
  readonly keyWarning: string | null;
  readonly #server: WorkerServer;
  readonly #variables: Variables;
  /** The one that was used last is last. */
  readonly #connected = new Map<string, Connected>();
  #inFlight = 0;

  /** @throws UsageError when a key is missing */
  constructor(server: WorkerServer, variables: Variables) {
    this.#server = server;
    this.#variables = variables;
    this.name = server.baseUrl ?? server.provider;
    const connection = this.#connectionFor({ model: "its models", maxAnswerBytes: 1 });
    this.keyWarning = keyLeftOut(server, connection, variables);
  }

  /** How many requests it has. */
  get inFlight(): number {
    return this.#inFlight;
  }

  /** Calls `send` with a connection to the server. */
  async using<T>(asked: Asked, send: (provider: Provider) => Promise<T>): Promise<T> {
    const key = JSON.stringify([asked.model, asked.maxAnswerBytes]);
    const connected = this.#connected.get(key) ?? {
      provider: providers[this.#server.provider].connect(this.#connectionFor(asked)),
      inFlight: 0,
    };
    this.#connected.delete(key);
    this.#connected.set(key, connected);
    this.#inFlight += 1;
    connected.inFlight += 1;
    try {
      return await send(await connected.provider);
    } finally {
      this.#inFlight -= 1;
      connected.inFlight -= 1;
      this.#closeIdle();
    }
  }

  #connectionFor({ model, maxAnswerBytes }: Asked): ReturnType<typeof connectionOf> {
    const config = { model_config: { model_name: model }, max_answer_mb: maxAnswerBytes / 1_000_000 };
    return connectionOf(this.#server, config, this.#variables);
  }

  #closeIdle(): void {
    const idle = [...this.#connected].filter(([, { inFlight }]) => inFlight === 0);
    for (const [key, { provider }] of idle.slice(0, Math.max(0, idle.length - MOST_IDLE))) {
      this.#connected.delete(key);
      void provider.then((one) => one.giveUp(new Error("the connection is not used")));
    }
  }
}
