import type { Message } from "../../models/prompt.ts";
import { asObject } from "../json.ts";
import type { Question } from "../provider.ts";
import { generationConfig } from "./parameters.ts";

interface Content {
  role: "user" | "model";
  parts: { text: string }[];
}

/** The parts of a request for one answer, in the shape of the Gemini API. */
export interface Request {
  contents: Content[];
  systemInstruction: { parts: { text: string }[] } | undefined;
  generationConfig: Record<string, unknown>;
  /** More members of the body; see `merged`. */
  extra: Record<string, unknown> | undefined;
}

export function requestOf({ model, prompt: { messages }, parameters }: Question): Request {
  const system = messages.filter(({ role }) => role === "system").map(partOf);
  return {
    contents: messages.filter(({ role }) => role !== "system").map(contentOf),
    systemInstruction: system.length > 0 ? { parts: system } : undefined,
    generationConfig: generationConfig(model, parameters),
    extra: parameters.extra_body,
  };
}

function contentOf(message: Message): Content {
  return { role: message.role === "assistant" ? "model" : "user", parts: [partOf(message)] };
}

function partOf({ content }: Message): { text: string } {
  return { text: content };
}

/** The whole body of a request. The SDK makes the same one of these parts. */
export function bodyOf(question: Question): Record<string, unknown> {
  const { contents, systemInstruction, generationConfig: config, extra = {} } = requestOf(question);
  return merged({ contents, ...(systemInstruction && { systemInstruction }), generationConfig: config }, extra);
}

/** An object with the members of another. Where both have an object, such as `generationConfig`, they are put together. */
function merged(base: Record<string, unknown>, more: Record<string, unknown>): Record<string, unknown> {
  const result = { ...base };
  for (const [name, value] of Object.entries(more)) {
    const [own, other] = [asObject(base[name]), asObject(value)];
    result[name] = own && other ? merged(own, other) : value;
  }
  return result;
}
