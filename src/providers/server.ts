import type { Endpoint } from "../config/schema.ts";
import { readCompletion, toCallError } from "./protocol.ts";
import type { Prompt, Provider, RequestParameters } from "./provider.ts";

/** The part of the SDKs' clients that both have. */
interface Client {
  get(path: string, options: RequestOptions): { asResponse(): Promise<Response> };
  post(path: string, options: RequestOptions): { asResponse(): Promise<Response> };
}

export interface RequestOptions {
  query?: Record<string, string>;
  headers?: Record<string, string>;
  /** An object to be sent as JSON, or what is to be sent piece by piece. */
  body?: object | AsyncIterable<Uint8Array>;
  /** Milliseconds until the headers of the answer. */
  timeout: number;
  signal: AbortSignal;
}

/** A server that speaks the OpenAI protocol, reached through a provider's SDK. */
export interface Server {
  client: Client;
  /** The key that the client sends, to be kept out of messages. */
  apiKey: string | undefined;
  /** The model that is asked for. */
  model: string;
  /** The parameters as the model accepts them, `extra_body` unfolded. */
  adapt(model: string, endpoint: Endpoint, parameters: RequestParameters): RequestParameters;
}

export const PATHS: Record<Endpoint, string> = { chat: "/chat/completions", completions: "/completions" };

/** The body of a request for one answer. */
export function bodyOf(server: Server, { endpoint, model, prompt, parameters }: Prompt): Record<string, unknown> {
  const accepted = server.adapt(model, endpoint, parameters);
  const asked = endpoint === "chat" ? { messages: [{ role: "user", content: prompt }] } : { prompt };
  return { ...accepted, model, ...asked };
}

/** The provider that asks a server for one answer at a time. */
export function liveProvider(server: Server): Provider {
  const { client, apiKey } = server;
  return {
    async complete({ timeoutMs: timeout, signal, ...prompt }) {
      const body = { ...bodyOf(server, prompt), stream: false };
      try {
        const response = await client.post(PATHS[prompt.endpoint], { body, timeout, signal }).asResponse();
        return await readCompletion(response, prompt.model);
      } catch (error) {
        signal.throwIfAborted();
        throw toCallError(error, apiKey);
      }
    },
  };
}
