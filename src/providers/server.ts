import type { Endpoint } from "../config/schema.ts";
import { promptText } from "../models/prompt.ts";
import { readCompletion } from "./answer.ts";
import { type BodyNames, bodyParameters } from "./parameters.ts";
import { toCallError } from "./refusal.ts";
import type { Provider, Question } from "./provider.ts";

/** The part of the SDKs' clients that both have. */
interface Client {
  buildRequest(options: { path: string; body?: unknown }, context?: object): Promise<BuiltRequest>;
  get(path: string, options: RequestOptions): { asResponse(): Promise<Response> };
  post(path: string, options: RequestOptions): { asResponse(): Promise<Response> };
}

interface BuiltRequest {
  req: object;
  url: string;
  timeout: number;
}

export interface RequestOptions {
  query?: Record<string, string>;
  headers?: Record<string, string>;
  /** An object to be sent as JSON, or what is to be sent piece by piece. */
  body?: object | AsyncIterable<Uint8Array>;
  /** Milliseconds until the headers of the answer. */
  timeout: number;
  /** Costs as much as all else that an SDK does about a request; see `close` in transport.ts. */
  signal?: AbortSignal;
}

/** A server that speaks the OpenAI protocol, reached through a provider's SDK. */
export interface Server {
  client: Client;
  /** The key that the client sends, to be kept out of messages. */
  apiKey: string | undefined;
  /** The model that is asked for. */
  model: string;
  /** The most bytes that the body of an answer may have. */
  maxAnswerBytes: number;
  /** The names under which a model takes the parameters of a config. */
  bodyNames(model: string, endpoint: Endpoint): BodyNames;
}

export const PATHS: Record<Endpoint, string> = { chat: "/chat/completions", completions: "/completions" };

/** The body of a request for one answer. */
export function bodyOf(server: Server, { endpoint, model, prompt, parameters }: Question): Record<string, unknown> {
  const accepted = bodyParameters(server.bodyNames(model, endpoint), parameters);
  const asked = endpoint === "chat" ? { messages: prompt.messages } : { prompt: promptText(prompt) };
  return { ...accepted, model, ...asked };
}

/**
 * Has a client build the address and the headers of its requests once for each path: those of live requests differ in
 * nothing but their bodies, and to build them anew takes an SDK as long as all else that it does about a request.
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
 * The provider that asks a server for one answer at a time.
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
