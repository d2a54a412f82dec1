import type { PromptCounter } from "../models/prompt-tokens.ts";
import type { Prompt } from "../models/prompt.ts";
import type { Step } from "../plan/calls.ts";
import { type Instructions, promptOf, type PromptRow } from "../plan/prompt.ts";
import type { SharedPrefix, SharedPrefixes } from "../plan/shared-prefix.ts";

/** The part of a prompt that is in the provider's cache, or gets there. */
export interface CachedPart {
  /** As counted, before any calibration. */
  tokens: number;
  /** Whether the call is the first that has it, so that it is written. Others read it. */
  isWritten: boolean;
}

/** Follows which prefixes the calls of a run share, input by input. */
export interface CachedPrompts {
  /** Begins the next input. */
  begin(): void;
  /** @returns null for a call that shares nothing */
  partOf(perspective: number, step: Step, row: PromptRow): CachedPart | null;
}

export function createCachedPrompts(
  prefixes: SharedPrefixes,
  instructions: readonly Instructions[],
  count: PromptCounter,
): CachedPrompts {
  /** The tokens of prefixes that were sent: of all inputs, and of the present one. */
  const ofRun = new Map<number, number>();
  const ofInput = new Map<number, number>();
  return {
    begin() {
      ofInput.clear();
    },
    partOf(perspective, step, row) {
      const prefix = prefixes(perspective, step, row);
      if (!prefix) return null;
      const sent = prefix.isOfInput ? ofInput : ofRun;
      const known = sent.get(prefix.id);
      // The prefix ends before any notes.
      const tokens = known ?? count(cut(promptOf(instructions[perspective]!, step, row, null), prefix));
      sent.set(prefix.id, tokens);
      return { tokens, isWritten: known === undefined };
    },
  };
}

/** The prompt up to the end of the prefix. Its pieces stay, because each is counted only once. */
function cut({ messages, pieces }: Prompt, { message: at, length }: SharedPrefix): Prompt {
  const { role, content } = messages[at]!;
  const last = { role, content: content.slice(0, length) };
  if (at < messages.length - 1) return { messages: [...messages.slice(0, at), last], pieces: [last.content] };
  let rest = length;
  const kept = pieces.map((piece) => {
    const part = piece.length <= rest ? piece : piece.slice(0, rest);
    rest -= part.length;
    return part;
  });
  return { messages: [...messages.slice(0, at), last], pieces: kept.filter((piece) => piece !== "") };
}
