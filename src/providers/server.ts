import type { Endpoint } from "../config/schema.ts";
import { type Prompt, promptText } from "../models/prompt.ts";
import { readCompletion } from "./openai-answer.ts";
import { buildOnce, type Client } from "./client.ts";
import { liveProvider } from "./live.ts";
import { type BodyNames, bodyParameters } from "./parameters.ts";
import type { Provider, Question } from "./provider.ts";

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

/** Sends each request on its own. @param close ends all requests in flight */
export function connectServer(server: Server, close: (reason: Error) => void): Provider {
  const { client, apiKey } = server;
  buildOnce(client);
  return liveProvider({ apiKey, close }, async ({ timeoutMs: timeout, ...question }) => {
    const body = { ...bodyOf(server, question), stream: false };
    const response = await client.post(PATHS[question.endpoint], { body, timeout }).asResponse();
    return await readCompletion(response, question.model, apiKey);
  });
}
