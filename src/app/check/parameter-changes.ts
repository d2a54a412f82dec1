import type { Parameters } from "../../config/parameters.ts";
import { TOKEN_LIMITS } from "../../config/token-limits.ts";

/*
 * Finds out, from the words of a refusal, which parameter a model does not take, and what to write instead.
 */

/** A change of a config's parameters. A parameter in `extra_body` is named `extra_body.NAME`. */
export type ParameterChange =
  | { parameter: string; action: "remove" }
  | { parameter: string; action: "rename"; to: string }
  /** Other values of the parameter stay. */
  | { parameter: string; action: "set"; from: unknown; value: unknown };

/** Other names of parameters in the messages of servers. */
const ALIASES: Readonly<Record<string, readonly string[]>> = {
  max_tokens: ["max_completion_tokens", "max_output_tokens", "maxOutputTokens"],
  max_completion_tokens: ["max_tokens", "max_output_tokens", "maxOutputTokens"],
  top_p: ["topP"],
  stop: ["stop_sequences", "stopSequences", "stop sequences"],
  frequency_penalty: ["frequencyPenalty"],
  presence_penalty: ["presencePenalty"],
  reasoning_effort: ["reasoning.effort", "thinking", "thinkingConfig", "thinkingBudget", "thinkingLevel"],
};

const EFFORTS = ["none", "minimal", "low", "medium", "high", "xhigh"];

/** The parameters, with those in `extra_body` under their names for changes. */
export function namedParameters({ extra_body: extra, ...given }: Parameters): Map<string, unknown> {
  const extras = Object.entries(extra ?? {}).map(([name, value]): [string, unknown] => [`extra_body.${name}`, value]);
  return new Map([...Object.entries(given).filter(([, value]) => value !== undefined), ...extras]);
}

/**
 * The change that a refusal asks for; null if its words name no parameter that was sent.
 * @param isTooLong whether the refusal means that a prompt or an answer does not fit into the context window
 */
export function changeFor(message: string, parameters: Parameters, isTooLong: boolean): ParameterChange | null {
  const named = namedParameters(parameters);
  const places = [...named.keys()]
    .map((parameter) => ({ parameter, at: placeIn(message, parameter) }))
    .filter(({ at }) => at >= 0)
    .toSorted((a, b) => a.at - b.at);
  const limit = [...named.keys()].find(isTokenLimit);
  const parameter = places[0]?.parameter ?? (isTooLong ? limit : undefined);
  if (parameter === undefined) return null;
  return changeOf(parameter, named, message);
}

/** Where a message first names a parameter, under its own name, else under another; -1 if nowhere. */
function placeIn(message: string, parameter: string): number {
  const name = parameter.replace(/^extra_body\./, "");
  const own = wordIn(message, name);
  if (own >= 0) return own;
  const others = (ALIASES[parameter] ?? []).map((alias) => wordIn(message, alias)).filter((at) => at >= 0);
  return others.length > 0 ? Math.min(...others) : -1;
}

function wordIn(message: string, word: string): number {
  const escaped = word.replaceAll(/[.*+?^${}()|[\]\\]/g, String.raw`\$&`);
  return message.search(new RegExp(String.raw`(?<![\w-])${escaped}(?![\w-])`));
}

function changeOf(parameter: string, named: ReadonlyMap<string, unknown>, message: string): ParameterChange {
  const value = named.get(parameter);
  if (isTokenLimit(parameter)) return limitChange(parameter, named, message);
  if (parameter === "reasoning_effort") {
    const allowed = EFFORTS.filter((effort) => effort !== value && new RegExp(`['"\`]${effort}['"\`]`).test(message));
    const nearest = allowed.toSorted((a, b) => stepsTo(a, value) - stepsTo(b, value))[0];
    if (nearest !== undefined) return { parameter, action: "set", from: value, value: nearest };
  }
  if (typeof value === "number") {
    const allowed = nearestIn(message, value);
    if (allowed !== null) return { parameter, action: "set", from: value, value: allowed };
  }
  return { parameter, action: "remove" };
}

/** The change of a parameter that a model refuses without saying so. */
export function changeWithoutWords(parameter: string, parameters: Parameters): ParameterChange {
  if (isTokenLimit(parameter)) return limitChange(parameter, namedParameters(parameters), "unsupported");
  return { parameter, action: "remove" };
}

function stepsTo(effort: string, value: unknown): number {
  return Math.abs(EFFORTS.indexOf(effort) - EFFORTS.indexOf(String(value)));
}

const NUMBER = String.raw`(-?\d+(?:\.\d+)?)`;
const RANGE = new RegExp(
  String.raw`(?:between|from|range|in)[^\d-]{0,20}${NUMBER}\s*(?:and|to|,|\.\.|-)\s*${NUMBER}`,
  "i",
);
const MOST = new RegExp(
  String.raw`(?:at most|<=|≤|less than or equal to|no (?:more|greater) than|maximum(?: value)?(?: of| is|:)?)\s*${NUMBER}`,
  "i",
);

/** The nearest value in the range that a message states; null if it states none, or one that has the value. */
function nearestIn(message: string, value: number): number | null {
  const [, low, high] = RANGE.exec(message) ?? [];
  if (low !== undefined && high !== undefined) {
    const nearest = Math.min(Number(high), Math.max(Number(low), value));
    return nearest === value ? null : nearest;
  }
  const [, most] = MOST.exec(message) ?? [];
  return most !== undefined && Number(most) < value ? Number(most) : null;
}

function isTokenLimit(parameter: string): boolean {
  return TOKEN_LIMITS.includes(parameter.replace(/^extra_body\./, ""));
}

/** The two names of the limit that a config has for itself. */
const OTHER_NAME: Readonly<Record<string, string>> = {
  max_tokens: "max_completion_tokens",
  max_completion_tokens: "max_tokens",
};

/** Words with which servers refuse a parameter itself, not its value. */
const UNKNOWN = /unsupported|not supported|unrecogni[sz]ed|unknown|unexpected|not permitted|not allowed|extra inputs/i;

function limitChange(parameter: string, named: ReadonlyMap<string, unknown>, message: string): ParameterChange {
  const value = named.get(parameter);
  const lower = typeof value === "number" ? lowerLimit(message, value) : null;
  if (lower !== null) return { parameter, action: "set", from: value, value: lower };
  const other = OTHER_NAME[parameter];
  if (other !== undefined && UNKNOWN.test(message) && !named.has(other))
    return { parameter, action: "rename", to: other };
  return { parameter, action: "remove" };
}

/** Words with which servers state a limit. */
const STATES_LIMIT =
  /at most|up to|\brange\b|\bmaximum\b|\blimit|too (?:large|long|high|many)|exceed|(?:less|lower|smaller|greater|more) than|<=|context/i;
/** Less than this is no limit of tokens, but a count of something else. */
const LEAST_LIMIT = 16;

/** The highest limit below the refused one that a message states. A context window has to hold the prompt, too. */
function lowerLimit(message: string, value: number): number | null {
  if (!STATES_LIMIT.test(message)) return null;
  const numbers = [...message.matchAll(/\d[\d,]*/g)].map(([digits]) => Number(digits.replaceAll(",", "")));
  const fitting = numbers.filter((one) => one >= LEAST_LIMIT && one < value);
  if (fitting.length === 0) return null;
  const most = Math.max(...fitting);
  if (/context/i.test(message)) return Math.floor(most / 2);
  return /exclusive/i.test(message) ? most - 1 : most;
}

/** The parameters after a change; others stay as they are. */
export function changed<P extends Partial<Record<string, unknown>>>(parameters: P, change: ParameterChange): P {
  const { parameter } = change;
  const [first = "", extra] = parameter.split(/\.(.*)/s);
  if (extra !== undefined) {
    const body = changed(Object(parameters[first] ?? {}) as Record<string, unknown>, { ...change, parameter: extra });
    const { [first]: _, ...others } = parameters;
    return (Object.keys(body).length > 0 ? { ...others, [first]: body } : others) as P;
  }
  // In a perspective, null removes a parameter of the run.
  const given = parameters[parameter];
  if (given === undefined || given === null) return parameters;
  if (change.action === "set" && JSON.stringify(given) !== JSON.stringify(change.from)) return parameters;
  const entries = Object.entries(parameters).flatMap(([name, value]): [string, unknown][] => {
    if (name !== parameter) return [[name, value]];
    if (change.action === "remove") return [];
    return change.action === "rename" ? [[change.to, value]] : [[name, change.value]];
  });
  return Object.fromEntries(entries) as P;
}
