import { promptPartsOf } from "../config/prompt-parts.ts";
import type { Config, Perspective } from "../config/schema.ts";
import type { TemplatePart } from "../config/template.ts";
import { shortestCached } from "../models/limits.ts";
import { callsPerInput, type Step } from "./calls.ts";
import { instructionsOf, type PromptRow, templateParts, valueOf } from "./prompt.ts";
import { type Settings, settingsByPerspective } from "./settings.ts";

/** The beginning of a prompt with which other calls of the run begin, too. */
export interface SharedPrefix {
  /** The same for all calls that begin with it. */
  id: number;
  /** Whether it has values of the row: then only calls of the same input begin with it. */
  isOfInput: boolean;
  /** The index of the message in which it ends. */
  message: number;
  /** Where in the content of that message it ends, in UTF-16 code units. */
  length: number;
}

/** The longest useful prefix of a call; null if no other call shares one. @param perspective its position in the config */
export type SharedPrefixes = (perspective: number, step: Step, row: PromptRow) => SharedPrefix | null;

/** A part of prompts that is the same in all calls of a run, or a value of the row. */
type Part = { message: number; role: string } & ({ fixed: string } | { value: Exclude<TemplatePart, string> });

/** The beginning of some prompts, and how many calls of an input begin with it. */
interface Beginning {
  id: number;
  isOfInput: boolean;
  calls: number;
  next: Map<string, Beginning>;
}

/** In bytes of UTF-8. Tokenizers of today make more tokens of a text than this, so that a prefix is seldom too short. */
const BYTES_PER_TOKEN = 4;

/** What tokens cost that are written to a cache, and that are read from it, at most, as shares of the usual price. */
const WRITE = 1.25;
const READ = 0.1;

/**
 * Finds the prefixes that calls of a run share: the system prompt, the messages, and the prompt up to where it differs. A
 * prefix may end before or after a message, an instruction, a value of the row, or a text of the template. Null if the
 * config does not ask for that.
 * @param settings those of the run
 * @param inputs about how many inputs there are
 */
export function sharedPrefixes(config: Config, settings: Settings, inputs: number): SharedPrefixes | null {
  if (config.model_config.prompt_caching !== true) return null;
  // Calls with other settings share nothing.
  const asked = settingsByPerspective(settings, config.agent_perspectives);
  const leastBytes = shortestCached(settings.model) * BYTES_PER_TOKEN;
  const replicates = config.replicates ?? 1;
  const before = instructionsOf(config).map((instructions) => instructions.before);
  const beginnings = createBeginnings();
  const paths = new Map<string, { parts: Part[]; path: Beginning[] }>();
  for (const { perspective: position, step } of callsPerInput(config.agent_perspectives)) {
    const perspective = config.agent_perspectives[position]!;
    const parts = partsOf(config, perspective, step, before[position]!);
    paths.set(`${position} ${step}`, { parts, path: beginnings.add(asked[position]!, parts) });
  }

  /** What a prefix of so many bytes saves of the cost of each call that shares it, in bytes. */
  function savingOf({ calls, isOfInput }: Beginning, bytes: number): number {
    const sharers = calls * replicates * (isOfInput ? 1 : inputs);
    return sharers < 2 ? 0 : bytes * (1 - READ - (WRITE - READ) / sharers);
  }

  return (position, step, row) => {
    const { parts, path } = paths.get(`${position} ${step}`)!;
    let [bytes, message, length] = [0, 0, 0];
    let best: SharedPrefix | null = null;
    let mostSaved = 0;
    for (const [at, part] of parts.entries()) {
      const beginning = path[at]!;
      // Nothing that is longer is shared either.
      if (savingOf(beginning, 1) === 0) break;
      const text = "fixed" in part ? part.fixed : valueOf(part.value, row, row.input);
      bytes += Buffer.byteLength(text);
      length = part.message === message ? length + text.length : text.length;
      message = part.message;
      const saved = savingOf(beginning, bytes);
      if (bytes < leastBytes || saved < mostSaved) continue;
      mostSaved = saved;
      best = { id: beginning.id, isOfInput: beginning.isOfInput, message, length };
    }
    return best;
  };
}

/** The parts of the prompts of a step, up to the notes, which no other call has. */
function partsOf(
  config: Config,
  perspective: Perspective,
  step: Step,
  before: readonly { role: string; content: string }[],
): Part[] {
  const parts: Part[] = before.map(({ role, content }, message) => ({ message, role, fixed: content }));
  const template = promptPartsOf(config, perspective).templates[step];
  const instruction = step === "reading" ? (perspective.reading ?? perspective.strategy) : perspective.strategy;
  const hasNotes = step === "strategy" && perspective.reading !== null;
  const last = { message: before.length, role: "user" };
  for (const part of templateParts(template)) {
    if (typeof part === "string") parts.push({ ...last, fixed: part });
    else if ("column" in part) parts.push({ ...last, value: part });
    else if (part.value === "instruction") parts.push({ ...last, fixed: instruction });
    else if (part.value !== "text") parts.push({ ...last, value: part });
    else if (hasNotes) break;
    else parts.push({ ...last, value: { value: "input" } });
  }
  return parts;
}

/** A tree of the parts that prompts begin with. */
function createBeginnings() {
  let ids = 0;
  const roots = new Map<Settings, Beginning>();
  const create = (isOfInput: boolean): Beginning => ({ id: (ids += 1), isOfInput, calls: 0, next: new Map() });
  return {
    /** @returns the beginnings that end with each of the parts */
    add(settings: Settings, parts: readonly Part[]): Beginning[] {
      let current = roots.get(settings) ?? create(false);
      roots.set(settings, current);
      return parts.map((part) => {
        const name = JSON.stringify(part);
        const next = current.next.get(name) ?? create(current.isOfInput || "value" in part);
        current.next.set(name, next);
        next.calls += 1;
        current = next;
        return next;
      });
    },
  };
}
