import type { Parameters } from "../../config/parameters.ts";
import { rowUseOf } from "../../config/prompt-parts.ts";
import type { ProviderName } from "../../config/providers.ts";
import type { Config, Endpoint } from "../../config/schema.ts";
import { type Input, readInputs } from "../../sources/inputs.ts";
import { promptCounter } from "../../models/prompt-tokens.ts";
import type { Message } from "../../models/prompt.ts";
import { loadTokenizer } from "../../models/tokenizer.ts";
import { callsPerInput, type Step } from "../../plan/calls.ts";
import { instructionsOf, promptAround, promptOf } from "../../plan/prompt.ts";
import { providers } from "../../providers/index.ts";
import type { Store } from "../../store/file/store.ts";
import { createReuse } from "../../store/reuse/reuse.ts";
import { earlierAnswers } from "../run/earlier-answers.ts";
import { rowOf, withHome } from "./survey.ts";
import { resolve } from "../run/resolve.ts";
import type { Environment } from "../server/environment.ts";

export interface PreviewRunOptions {
  /** How many inputs to show, from the first. Default: 1. */
  inputs?: number | undefined;
  /** Where base URLs come from; no key is needed. Default: the process's environment and `.env`. */
  environment?: Environment | undefined;
}

/** A call that a run of the config would make. */
export interface PreviewedCall {
  condition: string;
  step: Step;
  /** Whether an earlier answer is reused, so that nothing is sent. */
  reused: boolean;
  /** Whether the call works on notes that are not there yet. `[notes]` stands in their place. */
  waits_for_notes: boolean;
  messages: readonly Message[];
  /** The parameters of its requests, if they are not those of the run. */
  parameters?: Parameters;
  /** The tokens of the messages, without notes that are not there yet. */
  tokens: number;
}

/** The calls that a run of a config would make for its first inputs. */
export interface Preview {
  provider: ProviderName;
  model: string;
  endpoint: Endpoint;
  /** What the tokens are counted with. */
  encoding: string;
  /** Whether the model's own tokenizer gives the same count. */
  is_exact: boolean;
  /** How many times each call is made. */
  replicates: number;
  inputs: { task: number; context: string; reference: string | null; calls: PreviewedCall[] }[];
}

const NOTES = "[notes]";

/**
 * The exact messages that a run of a config would send for its first inputs. Only these inputs are read. Nothing is sent,
 * and nothing is written to the database, which says what is reused.
 * @throws UsageError when anything is wrong with the config or these inputs
 */
export async function previewRun(store: Store, given: Config, options: PreviewRunOptions = {}): Promise<Preview> {
  const { inputs: wanted = 1 } = options;
  const { config, target } = await resolve(store, given, options);
  const { provider, settings, asked } = target;
  const tokenizer = await loadTokenizer(settings.model);
  using reuse = createReuse(store, asked, "same", config.model_config.reasoning_tags ?? null);
  const calls = callsPerInput(config.agent_perspectives);
  const answersTo = earlierAnswers(config, calls, asked, reuse);
  const count = promptCounter(tokenizer, settings.endpoint);
  const instructions = instructionsOf(config);

  function callsOf(input: Input): PreviewedCall[] {
    const row = rowOf(input);
    const answers = answersTo(row);
    return calls.map(({ perspective: position, step }, at) => {
      const [perspective, own] = [config.agent_perspectives[position], instructions[position]];
      const used = asked[position];
      if (!perspective || !own || !used) throw new Error(`perspective ${position} is not in the config`);
      const reading = step === "strategy" && own.reading !== null ? answers[at - 1] : undefined;
      const notes = reading === undefined ? null : reading === null ? NOTES : reuse.textOf(reading);
      const shown = promptOf(own, step, row, notes);
      return {
        condition: perspective.condition,
        step,
        reused: answers[at] !== null,
        waits_for_notes: reading === null,
        messages: shown.messages,
        ...(used !== settings && { parameters: used.parameters }),
        tokens: count(reading === null ? promptAround(own, step, row) : shown),
      };
    });
  }

  const inputs: Preview["inputs"] = [];
  const most = Math.min(wanted, config.data_config.sample_size);
  const first = { ...withHome(config.data_config), sample_size: most };
  for await (const chunk of readInputs(first, { used: rowUseOf(config) })) {
    for (const input of chunk) {
      inputs.push({ task: input.index, context: input.text, reference: input.reference, calls: callsOf(input) });
    }
    // Otherwise the rest of the file would be counted.
    if (inputs.length === most) break;
  }
  return {
    provider,
    model: settings.model,
    endpoint: settings.endpoint,
    encoding: tokenizer.encoding,
    is_exact: !tokenizer.estimated || providers[provider].remote === null,
    replicates: config.replicates ?? 1,
    inputs,
  };
}
