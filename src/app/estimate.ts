import type { Config, Endpoint } from "../config/schema.ts";
import type { Input } from "../dataset/inputs.ts";
import { promptCounter } from "../models/prompt-tokens.ts";
import { loadTokenizer } from "../models/tokenizer.ts";
import { callsPerInput } from "../plan/calls.ts";
import { promptFrame } from "../plan/prompt.ts";

/** What a run will send and get back, before it is sent. */
export interface Estimate {
  inputs: number;
  calls: { total: number; readings: number; strategies: number };
  /** Counted over every input and perspective; notes are taken to be as long as the limit and their input allow. */
  promptTokens: number;
  /** The most that the token limit allows, or null where the config has none. */
  completionTokens: number | null;
  /** Whether the model's own tokenizer is another one than that which counted. */
  isApproximate: boolean;
}

/** Adds up the estimate of a run input by input. */
export async function createEstimator(
  config: Config,
  endpoint: Endpoint,
): Promise<{ add: (input: Input) => void; estimate: () => Estimate }> {
  const { model_name: model, max_tokens, max_completion_tokens } = config.model_config;
  const tokenizer = await loadTokenizer(model);
  const count = promptCounter(tokenizer, endpoint);
  const limit = max_tokens ?? max_completion_tokens ?? null;
  const frames = config.agent_perspectives.map(({ reading, strategy }) => {
    const strategyFrame = promptFrame(strategy);
    return {
      direct: promptFrame(reading ?? strategy),
      tokensOnNotes: reading === null ? null : count(strategyFrame[0], "", strategyFrame[1]),
    };
  });
  const readings = frames.filter(({ tokensOnNotes }) => tokensOnNotes !== null).length;
  const callsOfInput = callsPerInput(config.agent_perspectives).length;
  let inputs = 0;
  let promptTokens = 0;

  return {
    add({ text }) {
      inputs += 1;
      const notes = readings === 0 ? 0 : Math.min(limit ?? Number.POSITIVE_INFINITY, tokenizer.count(text));
      for (const { direct, tokensOnNotes } of frames) {
        promptTokens += count(direct[0], text, direct[1]);
        if (tokensOnNotes !== null) promptTokens += tokensOnNotes + notes;
      }
    },
    estimate: () => ({
      inputs,
      calls: {
        total: inputs * callsOfInput,
        readings: inputs * readings,
        strategies: inputs * config.agent_perspectives.length,
      },
      promptTokens,
      completionTokens: limit === null ? null : limit * inputs * callsOfInput,
      isApproximate: tokenizer.estimated,
    }),
  };
}
