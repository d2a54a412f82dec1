import { outputLimit } from "../../models/limits.ts";
import type { Parameters } from "../../config/parameters.ts";
import { type BodyNames, bodyParameters, refusedParameters } from "../parameters.ts";
import type { Message } from "../../models/prompt.ts";
import type { Question } from "../provider.ts";
import type { Problem } from "../provider-info.ts";
import { type Effort, samplingOf, thinkingOf } from "./models.ts";

/** What of a question decides its parameters. */
type Asked = Pick<Question, "model" | "parameters">;

const NAMES: BodyNames = {
  max_tokens: "max_tokens",
  max_completion_tokens: "max_tokens",
  temperature: "temperature",
  top_p: "top_p",
  stop: "stop_sequences",
  seed: null,
  frequency_penalty: null,
  presence_penalty: null,
  reasoning_effort: "reasoning_effort",
};

/** The names under which a model takes the parameters of a config. */
function bodyNames({ model, parameters }: Asked): BodyNames {
  const { takesSampling } = samplingOf(model);
  const thinking = thinkingOf(model);
  const effort = parameters.reasoning_effort;
  const isToThink = effort !== undefined && effort !== "none" && thinking !== null && thinking.on !== null;
  const takesEffort = effort === "none" || thinking === null || thinking.efforts.length > 0;
  return {
    ...NAMES,
    // A model that is told to think takes no sampling parameters either.
    ...((!takesSampling || isToThink) && { temperature: null, top_p: null }),
    ...(!takesEffort && { reasoning_effort: null }),
  };
}

/** The names of the parameters that a model refuses, and that are therefore not sent. */
export function refused(asked: Asked): string[] {
  return refusedParameters(bodyNames(asked), asked.parameters);
}

/**
 * The parameters in the body of a request. Anthropic requires a limit of tokens: without one of the config it is the
 * model's.
 */
export function parametersOf({ model, parameters }: Asked): Record<string, unknown> {
  const { extra_body: extra, reasoning_effort: effort, ...own } = parameters;
  const sent = bodyParameters(bodyNames({ model, parameters }), own);
  sent["max_tokens"] ??= outputLimit(model) ?? undefined;
  return {
    ...sent,
    ...(own.stop !== undefined && { stop_sequences: [own.stop].flat() }),
    ...effortOf(model, effort),
    ...extra,
  };
}

function limitOf({ max_tokens: tokens, max_completion_tokens: all }: Parameters): number | null {
  return all ?? tokens ?? null;
}

function effortOf(model: string, effort: Parameters["reasoning_effort"]): object {
  if (effort === undefined) return {};
  const thinking = thinkingOf(model);
  if (effort === "none") {
    const off = thinking?.off ?? {};
    return Object.keys(off).length > 0 ? { thinking: off } : {};
  }
  if (thinking !== null && !thinking.efforts.includes(effort as Effort)) return {};
  return { ...(thinking?.on && { thinking: thinking.on }), output_config: { effort } };
}

/**
 * What of a config Anthropic would refuse.
 * @param before the messages before the prompt
 */
export function problems({ model, parameters }: Asked, before: readonly Message[]): Problem[] {
  const { temperature, top_p: topP, reasoning_effort: effort, stop, extra_body: extra } = parameters;
  const names = bodyNames({ model, parameters });
  const isBlank = (text: string) => text.trim() === "";
  const found: [isSo: boolean, key: Problem["key"], text: string][] = [
    [(temperature ?? 0) > 1, "temperature", `expected at most 1, Anthropic's highest, found ${temperature}`],
    [
      temperature !== undefined && topP !== undefined && names.top_p !== null && samplingOf(model).takesOne,
      "top_p",
      `expected none beside temperature, because ${model} takes only one of them`,
    ],
    [[stop ?? []].flat().some(isBlank), "stop", "expected texts with more than white space"],
    [
      limitOf(parameters) === null && extra?.["max_tokens"] === undefined && outputLimit(model) === null,
      "max_tokens",
      `missing; Anthropic requires a limit, and that of ${model} is not known`,
    ],
    [extra !== undefined && "system" in extra, "extra_body", "expected an object without system: use system_prompt"],
    [
      before.find(({ role }) => role !== "system")?.role === "assistant",
      "messages",
      'expected "user" as the role of the first message',
    ],
    ...before
      .filter(({ content }) => isBlank(content))
      .map(({ role }): [boolean, Problem["key"], string] => [
        true,
        role === "system" ? "system_prompt" : "messages",
        "expected texts with more than white space",
      ]),
  ];
  const effortText = effortProblem(model, effort);
  return [
    ...found.filter(([isSo]) => isSo).map(([, key, text]) => ({ key, text })),
    ...(effortText === null ? [] : [{ key: "reasoning_effort" as const, text: effortText }]),
  ];
}

function effortProblem(model: string, effort: Parameters["reasoning_effort"]): string | null {
  const thinking = thinkingOf(model);
  if (effort === undefined || thinking === null) return null;
  if (effort === "none") return thinking.off === null ? `expected no "none", because ${model} always thinks` : null;
  // A model without efforts is warned of, as of other parameters that it does not take.
  if (thinking.efforts.length === 0 || thinking.efforts.includes(effort as Effort)) return null;
  return `expected ${thinking.efforts.map((one) => `"${one}"`).join(", ")} for ${model}, found "${effort}"`;
}

/** What is sent that the config does not say; null if there is nothing. */
export function addition({ model, parameters }: Asked): string | null {
  const limit = outputLimit(model);
  if (limitOf(parameters) !== null || parameters.extra_body?.["max_tokens"] !== undefined || limit === null)
    return null;
  return `Anthropic requires max_tokens, and the config sets none: ${limit}, the limit of ${model}, is sent`;
}
