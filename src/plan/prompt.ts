import { isDeepStrictEqual } from "node:util";
import { promptPartsOf } from "../config/prompt-parts.ts";
import type { Config } from "../config/schema.ts";
import { parseTemplate, type TemplatePart } from "../config/template.ts";
import type { Message, Prompt } from "../models/prompt.ts";
import type { Step } from "./calls.ts";

/**
 * The usual prompt: the instruction, a blank line, the text between fences without line breaks, the instruction again and
 * a blank line. This is the prompt of the reference pipeline, so that datasets can be compared.
 */
const USUAL = "{instruction}\n\n```{text}```{instruction}\n\n";

/** A part of a prompt that is not the same in all prompts of a step. */
type Value = Exclude<TemplatePart, string>;

/** What the prompts of a perspective are made of, besides the values of a row and the notes. */
export interface Instructions {
  reading: string | null;
  /** The messages before the prompt. */
  before: readonly Message[];
  /** The prompt of each step, with the instruction in its place. */
  frames: Readonly<Record<Step, readonly TemplatePart[]>>;
}

/** The values of a row that prompts may use. */
export interface PromptRow {
  input: string;
  reference: string | null;
  /** The values of the columns that the templates of the run use, by their names. */
  columns: Readonly<Record<string, unknown>>;
}

/** A prompt whose answer is one word, to see that a model answers. @param hasSystem whether it has a system message */
export function shortPrompt(hasSystem: boolean): Prompt {
  const text = "Reply with the single word: yes";
  const system: Message[] = hasSystem ? [{ role: "system", content: "Be brief." }] : [];
  return { messages: [...system, { role: "user", content: text }], pieces: [text] };
}

/** Whether the prompts of a step say the same in two perspectives, but for the texts that it works on. */
export function isSameStep(one: Instructions, other: Instructions, step: Step): boolean {
  const said = ({ reading, before, frames }: Instructions) => [
    before,
    reading === null ? null : frames.reading,
    step === "reading" || frames.strategy,
  ];
  return isDeepStrictEqual(said(one), said(other));
}

/** The instructions of the perspectives of a config, in their order. */
export function instructionsOf(config: Config): Instructions[] {
  // Most perspectives have the same templates.
  const parsed = new Map<string, readonly TemplatePart[]>();
  const partsOf = (template: string | null): readonly TemplatePart[] => {
    const text = template ?? USUAL;
    const parts = parsed.get(text) ?? templateParts(text);
    parsed.set(text, parts);
    return parts;
  };
  return config.agent_perspectives.map((perspective) => {
    const { systemPrompt, messages, templates } = promptPartsOf(config, perspective);
    const { reading, strategy } = perspective;
    const system = systemPrompt === null ? [] : [{ role: "system" as const, content: systemPrompt }];
    return {
      reading,
      before: [...system, ...messages],
      frames: {
        reading: frameOf(partsOf(templates.reading), reading ?? strategy),
        strategy: frameOf(partsOf(templates.strategy), strategy),
      },
    };
  });
}

/** The parts of a template. @param template null for the usual prompt */
export function templateParts(template: string | null): readonly TemplatePart[] {
  return parseTemplate(template ?? USUAL).parts;
}

/** The parts of a prompt with the instruction in its place. No two texts follow each other. */
function frameOf(template: readonly TemplatePart[], instruction: string): TemplatePart[] {
  const parts: TemplatePart[] = [];
  for (const part of template) {
    const said = typeof part === "object" && "value" in part && part.value === "instruction" ? instruction : part;
    const last = parts.at(-1);
    if (typeof said === "string" && typeof last === "string") parts[parts.length - 1] = last + said;
    else parts.push(said);
  }
  return parts;
}

/**
 * The prompt of a call: the messages of its perspective, and a user message.
 * @param notes what the reading returned; null if the perspective has no reading. A strategy works on the notes, or on
 *   the input if they are empty
 */
export function promptOf(instructions: Instructions, step: Step, row: PromptRow, notes: string | null): Prompt {
  const isOnInput = step === "reading" || notes === null || notes === "";
  const text = isOnInput ? row.input : notes;
  return promptWith(instructions, step, (part) => valueOf(part, row, text));
}

/** A prompt without the text that it works on. @param row null for a prompt without any value of the row */
export function promptAround(instructions: Instructions, step: Step, row: PromptRow | null): Prompt {
  return promptWith(instructions, step, (part) => (row === null ? "" : valueOf(part, row, "")));
}

function promptWith({ before, frames }: Instructions, step: Step, fill: (part: Value) => string): Prompt {
  const pieces = frames[step].map((part) => (typeof part === "string" ? part : fill(part)));
  // Not joined: a long input would be copied for each perspective, also where it is only counted.
  const content = pieces.reduce((text, piece) => text + piece, "");
  return { messages: [...before, { role: "user", content }], pieces };
}

/** A value of a prompt. @param text the text that the step works on */
export function valueOf(part: Value, { input, reference, columns }: PromptRow, text: string): string {
  if ("column" in part) return written(columns[part.column], part.column);
  if (part.value === "text") return text;
  return part.value === "input" ? input : written(reference, part.value);
}

/** A value as prompts have it: text as it is, anything else as JSON. */
function written(value: unknown, name: string): string {
  // Rows without a value are refused when they are read.
  if (value === undefined || value === null) throw new Error(`the row has no ${name}`);
  return typeof value === "string" ? value : JSON.stringify(value);
}

/** How often the text that a step works on stands in its prompt. */
export function textsIn({ frames }: Instructions, step: Step): number {
  return frames[step].filter((part) => typeof part === "object" && "value" in part && part.value === "text").length;
}

/** Whether the prompts of a step have values of the row besides the text that it works on. */
export function usesRow({ frames }: Instructions, step: Step): boolean {
  return frames[step].some((part) => typeof part === "object" && !("value" in part && part.value === "text"));
}
