import type { Endpoint } from "../config/schema.ts";
import { type Prompt, promptText } from "../models/prompt.ts";
import { readCompletion } from "./answer.ts";
import { type BodyNames, bodyParameters } from "./parameters.ts";
import { toCallError } from "./refusal.ts";
import type { Provider, Question } from "./provider.ts";

/** The members that the clients of both SDKs have. */
interface Client {
  buildRequest(options: { path: string; body?: unknown }, context?: object): Promise<BuiltRequest>;
  get(path: string, options: RequestOptions): { asResponse(): Promise<Response> };
  post(path: string, options: RequestOptions): { asResponse(): Promise<Response> };
  delete(path: string, options: RequestOptions): { asResponse(): Promise<Response> };
}

interface BuiltRequest {
  req: object;
  url: string;
  timeout: number;
}

export interface RequestOptions {
  query?: Record<string, string>;
  headers?: Record<string, string>;
  /** An object to send as JSON, or a stream of pieces. */
  body?: object | AsyncIterable<Uint8Array>;
  /** Milliseconds until the headers of the answer. */
  timeout: number;
  /** Costs as much time as everything else that an SDK does for a request; see `close` in transport.ts. */
  signal?: AbortSignal;
}

/** A server that speaks the OpenAI protocol, reached through a provider's SDK. */
export interface Server {
  client: Client;
  /** The key that the client sends. It must not appear in messages. */
  apiKey: string | undefined;
  /** The name of the model in the requests. */
  model: string;
  /** The most bytes of the body of an answer. */
  maxAnswerBytes: number;
  /** The names under which a model takes the parameters of a config. */
  bodyNames(model: string, endpoint: Endpoint): BodyNames;
  /** What a model calls the role of system messages. */
  systemRole(model: string): "system" | "developer";
}

export const PATHS: Record<Endpoint, string> = { chat: "/chat/completions", completions: "/completions" };

/** The body of a request for one answer. */
export function bodyOf(server: Server, { endpoint, model, prompt, parameters }: Question): Record<string, unknown> {
  const accepted = bodyParameters(server.bodyNames(model, endpoint), parameters);
  const asked =
    endpoint === "chat" ? { messages: messagesFor(prompt, server.systemRole(model)) } : { prompt: promptText(prompt) };
  return { ...accepted, model, ...asked };
}

function messagesFor({ messages }: Prompt, systemRole: "system" | "developer"): readonly object[] {
  if (systemRole === "system") return messages;
  return messages.map((message) => (message.role === "system" ? { ...message, role: systemRole } : message));
}

/**
 * Makes a client build the URL and the headers once for each path. Live requests differ only in their bodies, and building
 * the rest takes an SDK as long as everything else that it does for a request.
 */
function buildOnce(client: Client): void {
  const build = client.buildRequest.bind(client);
  const known = new Map<string, BuiltRequest>();
  client.buildRequest = async (options, context) => {
    const built = known.get(options.path) ?? (await build(options, context));
    known.set(options.path, built);
    return { ...built, req: { ...built.req, body: JSON.stringify(options.body) } };
  };
}

/**
 * A provider that sends each request on its own.
 * @param close ends all requests in flight
 */
export function liveProvider(server: Server, close: (reason: Error) => void): Provider {
  const { client, apiKey } = server;
  buildOnce(client);
  let givenUp: Error | undefined;
  return {
    async complete({ timeoutMs: timeout, ...question }) {
      const body = { ...bodyOf(server, question), stream: false };
      try {
        const response = await client.post(PATHS[question.endpoint], { body, timeout }).asResponse();
        return await readCompletion(response, question.model, apiKey);
      } catch (error) {
        throw givenUp ?? toCallError(error, apiKey);
      }
    },
    giveUp(reason) {
      givenUp = reason;
      close(reason);
    },
  };
}
