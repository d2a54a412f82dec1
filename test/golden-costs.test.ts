import { describe, expect, test } from "vitest";
import { attemptCost, type Prices } from "../src/models/cost.ts";
import { anthropicPrice } from "../src/providers/anthropic/prices.ts";
import { geminiPrice } from "../src/providers/gemini/prices.ts";
import { providers } from "../src/providers/index.ts";
import { openAiPrice } from "../src/providers/openai/prices.ts";
import { togetherPrices } from "../src/providers/together/prices.ts";
import { openLab, PLAIN } from "./support/lab.ts";
import { REMOTE } from "./support/providers/index.ts";

/*
 * Costs computed by hand, in billionths of a dollar, from the price lists that the providers publish. A rate of 3 dollars
 * for a million tokens is 3,000 billionths for a token. Each comment has the sum: plain, cached, written (for five minutes,
 * then for an hour) and completion tokens, each times its rate.
 */

interface Usage {
  plain?: number;
  cached?: number;
  /** For five minutes. */
  written?: number;
  writtenForHour?: number;
  /** Reasoning included. */
  completion?: number;
}

/** @param batch the cost in a batch; undefined where the provider has no price for that */
type Golden = [model: string, usage: Usage, live: number, batch?: number, day?: string];

const LISTS: Record<string, (model: string, day: string) => Promise<Prices | null>> = {
  openai: openAiPrice,
  together: (model) => Promise.resolve(togetherPrices().get(model) ?? null),
  anthropic: anthropicPrice,
  gemini: geminiPrice,
};

const GOLDEN: Record<string, Golden[]> = {
  openai: [
    // 11,321 × 150 + 1,024 × 75 + 678 × 600 = 1,698,150 + 76,800 + 406,800
    ["gpt-4o-mini", { plain: 11_321, cached: 1_024, completion: 678 }, 2_181_750, 1_090_875],
    // 856 × 2,000 + 6,144 × 200 + 3,000 × 2,500 + 1,234 × 12,000 = 1,712,000 + 1,228,800 + 7,500,000 + 14,808,000
    ["gpt-5.6-terra", { plain: 856, cached: 6_144, written: 3_000, completion: 1_234 }, 25_248_800, 12_624_400],
    // A prompt of 300,001 tokens: 28,001 × 4,000 + 272,000 × 400 + 2,000 × 18,000 = 112,004,000 + 108,800,000 + 36,000,000
    ["gpt-5.6-terra", { plain: 28_001, cached: 272_000, completion: 2_000 }, 256_804_000, 128_402_000],
    // 777 × 1,100 + 3,333 × 4,400 = 854,700 + 14,665,200
    ["o4-mini", { plain: 777, completion: 3_333 }, 15_519_900, 7_759_950],
    // 4 × 50 + 3 × 5 + 400 = 615; the half of it is rounded up
    ["gpt-5-nano", { plain: 4, cached: 3, completion: 1 }, 615, 308],
  ],
  together: [
    // (4,321 + 987) × 1,040
    ["meta-llama/Llama-3.3-70B-Instruct-Turbo", { plain: 4_321, completion: 987 }, 5_520_320, 2_760_160],
    // 5,000 × 3,000 + 15,000 × 300 + 500 × 15,000 = 15,000,000 + 4,500,000 + 7,500,000
    ["moonshotai/Kimi-K3", { plain: 5_000, cached: 15_000, completion: 500 }, 27_000_000],
    // 300 + 1,000 × 6 + 1,200
    ["deepseek-ai/DeepSeek-V4.1-Flash", { plain: 1, cached: 1_000, completion: 1 }, 7_500],
  ],
  anthropic: [
    // The call that writes: 50 × 3,000 + 5,000 × 3,750 + 400 × 15,000 = 150,000 + 18,750,000 + 6,000,000
    ["claude-sonnet-4-5-20250929", { plain: 50, written: 5_000, completion: 400 }, 24_900_000, 12_450_000],
    // A call that reads: 50 × 3,000 + 5,000 × 300 + 400 × 15,000 = 150,000 + 1,500,000 + 6,000,000
    ["claude-sonnet-4-5-20250929", { plain: 50, cached: 5_000, completion: 400 }, 7_650_000, 3_825_000],
    // 50 × 3,000 + 2,000 × 300 + 3,000 × 3,750 + 400 × 15,000 = 150,000 + 600,000 + 11,250,000 + 6,000,000
    ["claude-sonnet-4-5", { plain: 50, cached: 2_000, written: 3_000, completion: 400 }, 18_000_000, 9_000_000],
    // Kept for an hour: 50 × 3,000 + 5,000 × 6,000 + 400 × 15,000 = 150,000 + 30,000,000 + 6,000,000
    ["claude-sonnet-4-5", { plain: 50, writtenForHour: 5_000, completion: 400 }, 36_150_000, 18_075_000],
    // Both: 7 × 5,000 + 900 × 500 + 300 × 6,250 + 1,100 × 10,000 + 10 × 25,000
    // = 35,000 + 450,000 + 1,875,000 + 11,000,000 + 250,000
    [
      "claude-opus-4-5",
      { plain: 7, cached: 900, written: 300, writtenForHour: 1_100, completion: 10 },
      13_610_000,
      6_805_000,
    ],
    // One token at a rate of a half: 500
    ["claude-3-haiku-20240307", { writtenForHour: 1 }, 500, 250],
    // A price that the list lacks: 3 × 8,000 + 4 × 10,000 + 5 × 16,000 + 2 × 40,000
    ["claude-fable-5-2", { plain: 3, written: 4, writtenForHour: 5, completion: 2 }, 224_000, 112_000],
    // A long prompt: 1 × 500 + 100,000 × 1,000 + 2,500
    ["claude-haiku-5-5", { plain: 1, writtenForHour: 100_000, completion: 1 }, 100_003_000, 50_001_500],
    // The longest prompt at the lower rates: 1,000 × 100 + 99,000 × 10 + 10 × 500 = 100,000 + 990,000 + 5,000
    ["claude-haiku-5-5", { plain: 1_000, cached: 99_000, completion: 10 }, 1_095_000, 547_500],
    // One token more: 1,001 × 500 + 99,000 × 50 + 10 × 2,500 = 500,500 + 4,950,000 + 25,000
    ["claude-haiku-5-5", { plain: 1_001, cached: 99_000, completion: 10 }, 5_475_500, 2_737_750],
    // 123 × 4,000 + 4,096 × 200 + 512 × 5,000 + 1,999 × 20,000 = 492,000 + 819,200 + 2,560,000 + 39,980,000
    ["claude-opus-5-5", { plain: 123, cached: 4_096, written: 512, completion: 1_999 }, 43_851_200, 21_925_600],
    // 250 + 30 + 300 + 1,250
    ["claude-3-haiku-20240307", { plain: 1, cached: 1, written: 1, completion: 1 }, 1_830, 915],
    // A long prompt at one rate: 200,000 × 250 + 50,000
    ["claude-fable-5-1", { cached: 200_000, completion: 1 }, 50_050_000, 25_025_000],
  ],
  gemini: [
    // 952 × 300 + 2,048 × 30 + 700 × 2,500 = 285,600 + 61,440 + 1,750,000; in a batch, cached tokens cost the same
    ["gemini-2.5-flash", { plain: 952, cached: 2_048, completion: 700 }, 2_097_040, 1_079_240],
    // The longest prompt at the lower rates: 200,000 × 2,000 + 100 × 12,000
    ["gemini-3.1-pro-preview", { plain: 200_000, completion: 100 }, 401_200_000, 200_600_000],
    // One token more: 100,001 × 4,000 + 100,000 × 400 + 100 × 18,000 = 400,004,000 + 40,000,000 + 1,800,000
    ["gemini-3.1-pro-preview", { plain: 100_001, cached: 100_000, completion: 100 }, 441_804_000, 240_902_000],
    // 111 × 750 + 1,000 × 75 + 99 × 3,750 = 83,250 + 75,000 + 371,250
    ["gemini-3.8-flash", { plain: 111, cached: 1_000, completion: 99 }, 529_500, 264_750],
    // The same at twice the rates
    ["gemini-3.8-flash", { plain: 111, cached: 1_000, completion: 99 }, 1_059_000, 529_500, "2027-01-01"],
    // 3,000 × 30 + 10 × 2,500; in a batch 3,000 × 20 + 10 × 1,250
    ["gemini-3.5-flash-lite", { cached: 3_000, completion: 10 }, 115_000, 72_500],
    // 10 × 2,000 + 20 × 10,000, and twice as much from December
    ["models/gemini-4-argon", { plain: 10, completion: 20 }, 220_000, 110_000, "2026-11-30"],
    ["models/gemini-4-argon", { plain: 10, completion: 20 }, 440_000, 220_000, "2026-12-01"],
  ],
};

describe.each(Object.entries(GOLDEN))("the cost at %s, to the billionth of a dollar,", (provider, cases) => {
  test.each(cases)(
    "of %s with %o is %d live, and %s in a batch",
    async (model, usage, live, batch, day = "2026-11-26") => {
      const { plain = 0, cached = 0, written = 0, writtenForHour = 0, completion = 0 } = usage;
      const prices = await LISTS[provider]!(model, day);
      const priced = {
        promptTokens: plain + cached + written + writtenForHour,
        completionTokens: completion,
        cachedTokens: cached,
        cacheWriteTokens: written + writtenForHour,
        cacheWrite1hTokens: writtenForHour,
      };
      expect(attemptCost(prices, priced, false)).toBe(live);
      expect(attemptCost(prices, priced, true)).toBe(batch ?? null);
    },
  );
});

/**
 * What 952 plain, 2,048 cached and 700 completion tokens cost, live and in a batch. Together lists no price for the cached
 * tokens of its model. At Anthropic, 300 of the plain ones are written to the cache, and 100 of these for an hour.
 */
const ANSWERED: Record<string, [model: string, live: number, batch: number]> = {
  // 142,800 + 153,600 + 420,000
  openai: ["gpt-4o-mini", 716_400, 358_200],
  // 3,700 × 1,040
  together: ["meta-llama/Llama-3.3-70B-Instruct-Turbo", 3_848_000, 1_924_000],
  // 652 × 3,000 + 2,048 × 300 + 200 × 3,750 + 100 × 6,000 + 700 × 15,000
  // = 1,956,000 + 614,400 + 750,000 + 600,000 + 10,500,000
  anthropic: ["claude-sonnet-4-6", 14_420_400, 7_210_200],
  // 285,600 + 61,440 + 1,750,000; in a batch, cached tokens cost the same
  gemini: ["gemini-2.5-flash", 2_097_040, 1_079_240],
};

const WAYS = REMOTE.flatMap((provider) => [
  [provider, "live"] as const,
  ...(providers[provider].batches ? [[provider, "batch"] as const] : []),
]);

test.concurrent.each(WAYS)(
  "a run at %s, %s, costs what its usage costs, to the billionth",
  async (provider, executor) => {
    const [model, live, batch] = ANSWERED[provider]!;
    const usage = { prompt: 3_000, cached: 2_048, completion: 700, reasoning: 400, written: 300, writtenForHour: 100 };
    await using lab = await openLab({
      config: { agent_perspectives: [PLAIN], executor, model_config: { model_name: model, max_tokens: 1_000 } },
      server: { behave: () => ({ kind: "text", text: "An answer.", usage }) },
    });
    const { code, stderr, run } = await lab.runConfig(["--yes"]);
    expect(code, stderr).toBe(0);
    expect(Math.round(run!.cost_usd! * 1e9)).toBe(executor === "live" ? live : batch);
    // Its cost follows from what is stored.
    const { stdout } = await lab.datagen("runs", "reprice", "latest", "--json");
    expect(JSON.parse(stdout)).toMatchObject({ after: { cost_usd: run!.cost_usd } });
  },
);
