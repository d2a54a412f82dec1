import { writeFileSync } from "node:fs";

/** The number of perspectives. */
export const PERSPECTIVES = 30;

/** How many calls may be in flight. */
export const CONCURRENCY = 64;

/** How the server answers in the measurements with latency. */
export const SLOW = { latencyMs: 50, answerBytes: 2_000 };

const WORDS = `the a of in for with some most under over report city council river bridge budget school market
  weather season paper method result sample model reader writer answer question morning evening winter summer plan
  decision argument measure figure table chapter small large early late clear doubtful careful sudden quiet describes
  claims shows denies opens closes follows changes finds keeps loses repeats`.split(/\s+/);

/** Pseudo-random numbers between 0 and 1, the same every time (a linear congruential generator). */
function randoms(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state * 1_664_525 + 1_013_904_223) % 2 ** 32;
    return state / 2 ** 32;
  };
}

function sentence(random: () => number, words: number): string {
  return Array.from({ length: words }, () => WORDS[Math.floor(random() * WORDS.length)]).join(" ");
}

/** Different texts of about 150 characters. */
export function inputs(count: number): string[] {
  const random = randoms(1);
  return Array.from({ length: count }, (_, at) => `Number ${at}: ${sentence(random, 25)}.`);
}

/** One for each perspective, of about 150 characters. */
export function instructions(): string[] {
  const random = randoms(2);
  return Array.from({ length: PERSPECTIVES }, (_, at) => `Summarize the text in way ${at}: ${sentence(random, 20)}.`);
}

/** An answer of about 200 characters, another one for each number. Some words are far more common than others. */
export function answerOf(at: number): string {
  const random = randoms(at + 3);
  const word = () =>
    `${WORDS[Math.floor(random() ** 2 * WORDS.length)]}${random() < 0.2 ? `${Math.floor(random() * 300)}` : ""}`;
  return Array.from({ length: 3 }, () => `${Array.from({ length: 10 }, word).join(" ")}.`).join(" ");
}

interface WorkloadOptions {
  /** Gives each input a reference. */
  withReferences?: boolean;
}

/** Writes an input file and a config that asks for every input from every perspective. */
export function writeWorkload(
  { config, data }: { config: string; data: string },
  count: number,
  { withReferences = false }: WorkloadOptions = {},
): void {
  const rows = inputs(count).map((input, at) => ({ input, ...(withReferences && { reference: answerOf(-at - 1) }) }));
  writeFileSync(data, `${rows.map((row) => JSON.stringify(row)).join("\n")}\n`);
  const value = {
    task_type: "summarization",
    task_description: "A workload of known size",
    api_provider: "openai",
    model_config: { model_name: "gpt-4o-mini", max_tokens: 500, temperature: 0.7 },
    agent_perspectives: instructions().map((strategy, at) => ({
      condition: `Way ${at}`,
      reading: null,
      strategy,
    })),
    data_config: {
      input_data_path: data,
      sample_size: count,
      ...(withReferences && { fields: { input: "input", reference: "reference" } }),
    },
    concurrency: CONCURRENCY,
  };
  writeFileSync(config, JSON.stringify(value));
}
