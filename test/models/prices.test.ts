import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { costOf, dayOf, highestCost, type PricedUsage, type Prices, type Rates } from "../../src/models/cost.ts";
import { modelFacts, outputLimit } from "../../src/models/limits.ts";
import { anthropicPrice, anthropicPriceList } from "../../src/providers/anthropic/prices.ts";
import { geminiPrice, geminiPriceList } from "../../src/providers/gemini/prices.ts";
import { listedPrices, priceList } from "../../src/providers/prices.ts";
import { rounds } from "../support/rounds.ts";
import { reportedUsage } from "../support/usage.ts";

/** A day after every list that is built in. */
const TODAY = new Date("2026-11-22T12:00:00Z");

async function openAi(model: string, at = TODAY): Promise<Prices> {
  const prices = await listedPrices("openai", model, at);
  if (!prices) throw new Error(`no price of ${model}`);
  return prices;
}

describe("the listed price", () => {
  test.for([
    ["gpt-4o-mini", 0.15, 0.075, 0.6],
    ["gpt-4o-mini-2024-07-18", 0.15, 0.075, 0.6],
    ["gpt-4o", 2.5, 1.25, 10],
    ["gpt-4o-2024-05-13", 5, 5, 15],
    ["gpt-4.1", 2, 0.5, 8],
    ["gpt-4.1-2025-04-14", 2, 0.5, 8],
    ["o3", 2, 0.5, 8],
    ["o3-2025-04-16", 2, 0.5, 8],
    ["o4-mini", 1.1, 0.275, 4.4],
    ["gpt-5-mini", 0.25, 0.025, 2],
    ["gpt-5-nano-2025-08-07", 0.05, 0.005, 0.4],
    ["gpt-3.5-turbo", 0.5, 0.5, 1.5],
    ["gpt-3.5-turbo-instruct-0914", 1.5, 1.5, 2],
    ["davinci-002", 2, 2, 2],
    ["babbage-002", 0.4, 0.4, 0.4],
    ["ft:gpt-4o-mini-2024-07-18:org::id", 0.3, 0.15, 1.2],
    ["ft:gpt-4o-2024-08-06:org:suffix:id", 3.75, 1.875, 15],
    ["ft:gpt-4.1-2025-04-14:org:suffix:id:ckpt-step-80", 3, 0.75, 12],
    ["ft:gpt-3.5-turbo-0125:org::id", 3, 3, 6],
  ] as const)("of OpenAI's %s is %d for input, %d for cached input, %d for output", async ([model, ...rates]) => {
    const { input, cached_input, cache_write, output, long_prompts } = await openAi(model);
    expect([input, cached_input, output]).toEqual(rates);
    expect({ cache_write, long_prompts }).toEqual({ cache_write: input, long_prompts: [] });
  });

  test.for([
    ["meta-llama/Llama-3.3-70B-Instruct-Turbo", 1.04, 1.04, 1.04, 0.5],
    ["openai/gpt-oss-120b", 0.15, 0.15, 0.6, null],
    ["deepseek-ai/DeepSeek-V4.1-Flash", 0.3, 0.006, 1.2, null],
    ["Qwen/Qwen3.5-9B", 0.17, 0.17, 0.25, null],
  ] as const)("of Together's %s is %d for input, %d for cached input, %d for output", async ([model, ...expected]) => {
    const prices = await listedPrices("together", model, TODAY);
    expect([prices?.input, prices?.cached_input, prices?.output, prices?.batch_factor]).toEqual(expected);
  });

  test.for([
    ["gpt-5.6-terra", 2, 0.2, 2.5, 12],
    ["gpt-5.6-terra-2026-07-09", 2, 0.2, 2.5, 12],
    ["gpt-5.6-luna", 0.2, 0.02, 0.25, 1.2],
    ["gpt-6-sol", 2, 0.2, 2.5, 10],
    ["gpt-6.1-sol", 2, 0.1, 2.5, 10],
    ["gpt-6.1-sol-2026-09-29", 2, 0.1, 2.5, 10],
  ] as const)("of %s has its own rate for what is written to the cache", async ([model, ...rates]) => {
    const { input, cached_input, cache_write, output } = await openAi(model);
    expect([input, cached_input, cache_write, output]).toEqual(rates);
  });

  test.for([
    ["gpt-5.4", { input: 5, cached_input: 0.5, cache_write: 5, output: 22.5 }],
    ["gpt-5.5-pro", { input: 60, cached_input: 60, cache_write: 60, output: 270 }],
    ["gpt-5.6-terra", { input: 4, cached_input: 0.4, cache_write: 5, output: 18 }],
    ["gpt-6-sol", { input: 4, cached_input: 0.4, cache_write: 5, output: 15 }],
    ["gpt-6-luna", { input: 0.2, cached_input: 0.02, cache_write: 0.25, output: 0.75 }],
    ["gpt-6.1-sol", { input: 4, cached_input: 0.2, cache_write: 5, output: 15 }],
  ] as const)("of %s is higher for prompts from 272,000 tokens", async ([model, rates]) => {
    expect((await openAi(model)).long_prompts).toEqual([{ from: 272_000, ...rates }]);
  });

  test.for([
    ["claude-sonnet-4-5", 3, 0.3, 3.75, 15],
    ["claude-sonnet-4-5-20250929", 3, 0.3, 3.75, 15],
    ["claude-opus-4-20250514", 15, 1.5, 18.75, 75],
    ["claude-sonnet-4-20250514", 3, 0.3, 3.75, 15],
    ["claude-3-5-haiku-latest", 0.8, 0.08, 1, 4],
    ["claude-3-haiku-20240307", 0.25, 0.03, 0.3, 1.25],
    ["claude-opus-4-6", 5, 0.5, 6.25, 25],
    ["claude-opus-5-5", 4, 0.2, 5, 20],
    ["claude-sonnet-5-5", 2, 0.1, 2.5, 10],
    ["claude-haiku-5-5", 0.1, 0.01, 0.125, 0.5],
    ["claude-fable-5-2", 8, 0.2, 10, 40],
  ] as const)("of Anthropic's %s is %d, %d from the cache, %d into it, %d for output", async ([model, ...rates]) => {
    const prices = await anthropicPrice(model, "2026-11-26");
    expect([prices?.input, prices?.cached_input, prices?.cache_write, prices?.output]).toEqual(rates);
    expect(prices).toMatchObject({ batch_factor: 0.5 });
  });

  test("of Claude Haiku 5.5 is five times as high for prompts of more than 100,000 tokens", async () => {
    expect((await anthropicPrice("claude-haiku-5-5", "2026-11-26"))?.long_prompts).toEqual([
      { from: 100_001, input: 0.5, cached_input: 0.05, cache_write: 0.625, cache_write_1h: 1, output: 2.5 },
    ]);
    expect((await anthropicPrice("claude-opus-4-6", "2026-03-12"))?.long_prompts).toHaveLength(1);
    expect((await anthropicPrice("claude-opus-4-6", "2026-03-13"))?.long_prompts).toEqual([]);
  });

  test.for([
    ["gemini-2.5-pro", 1.25, 0.125, 10],
    ["gemini-2.5-pro-preview-05-06", 1.25, 0.125, 10],
    ["models/gemini-2.5-flash", 0.3, 0.03, 2.5],
    ["gemini-2.5-flash-lite-preview-09-2025", 0.1, 0.01, 0.4],
    ["gemini-3.8-flash", 0.75, 0.075, 3.75],
    ["gemini-3.5-flash-001", 1.5, 0.15, 9],
    ["gemini-flash-latest", 0.75, 0.075, 3.75],
    ["gemini-4-argon", 2, 0.1, 10],
    ["gemma-4-31b-it", 0, 0, 0],
  ] as const)("of Google's %s is %d, %d from the cache, %d for output", async ([model, ...rates]) => {
    const prices = await geminiPrice(model, "2026-11-26");
    expect([prices?.input, prices?.cached_input, prices?.output]).toEqual(rates);
    expect(prices?.cache_write).toBe(rates[0]);
  });

  test("of Gemini is that of the day, and higher for prompts of more than 200,000 tokens", async () => {
    const input = async (model: string, day: string) => (await geminiPrice(model, day))?.input;
    expect(await input("gemini-4-argon", "2026-11-30")).toBe(2);
    expect(await input("gemini-4-argon", "2026-12-01")).toBe(4);
    expect(await input("gemini-3.8-flash", "2026-12-31")).toBe(0.75);
    expect(await input("gemini-3.8-flash", "2027-01-01")).toBe(1.5);
    expect((await geminiPrice("gemini-3.1-pro-preview", "2026-11-26"))?.long_prompts).toEqual([
      { from: 200_001, input: 4, cached_input: 0.4, cache_write: 4, output: 18 },
    ]);
  });

  test.for([
    "claude-sonnet-4.5",
    "claude-sonnet-4-5@20250929",
    "claude-sonnet-4-5-latest",
    "claude-sonnet-4-5-2025",
    "claude-4-5-opus",
    "claude-opus-5-6",
    "claude-opus-4-12",
    "claude-2.1",
    "anthropic/claude-sonnet-4",
    "Claude-sonnet-4-5",
    "claude",
    "",
  ])("of %j at Anthropic is unknown", async (model) => {
    expect(await anthropicPrice(model, "2026-11-26")).toBeNull();
  });

  test.for([
    "gemini-2.5-flash-image",
    "gemini-2.5-pro-preview-tts",
    "gemini-3.1-flash-live-preview",
    "gemini-2.5-flash-latest",
    "gemini-2.5-flash-lite-2",
    "gemini-3.9-flash",
    "gemini-embedding-001",
    "gemini-1.5-flash-002",
    "google/gemini-2.5-flash",
    "models/models/gemini-2.5-flash",
    "claude-sonnet-4",
    "gemma-2-27b-it",
    "",
  ])("of %j at Google is unknown", async (model) => {
    expect(await geminiPrice(model, "2026-11-26")).toBeNull();
  });

  test("is that of the day", async () => {
    const input = async (model: string, day: string) => (await openAi(model, new Date(`${day}T00:00:00Z`))).input;
    expect(await input("o3", "2025-06-09")).toBe(10);
    expect(await input("o3", "2025-06-10")).toBe(2);
    expect(await input("gpt-5.6-luna", "2026-07-29")).toBe(1);
    expect(await input("gpt-5.6-luna", "2026-07-30")).toBe(0.2);
  });

  test("of gpt-5.6-sol is the lower one as long as OpenAI has promised it", async () => {
    const rates = async (day: string) => {
      const { input, cache_write, output } = await openAi("gpt-5.6-sol", new Date(`${day}T23:00:00Z`));
      return [input, cache_write, output];
    };
    expect(await rates("2026-08-20")).toEqual([5, 6.25, 30]);
    expect(await rates("2026-08-21")).toEqual([4, 5, 20]);
    expect(await rates("2026-11-21")).toEqual([4, 5, 20]);
    expect(await rates("2026-11-22")).toEqual([5, 6.25, 30]);
  });

  test.for([
    "gpt-4o-mini ",
    "GPT-4o-mini",
    "gpt-4o-mini-2",
    "gpt-4o-mini-2025-01-01",
    "gpt-4.1-micro",
    "gpt-5.6-sol-fast",
    "gpt-5-nano-2",
    "gpt-7",
    "o3-mini-high",
    "gpt-35-turbo",
    "gpt-5-4",
    "gpt-4o:extended",
    "gpt-oss-120b",
    "gpt-4o-search-preview",
    "gpt-4o-mini-search-preview",
    "o3-deep-research",
    "gpt-4o-audio-preview",
    "gpt-4o-realtime-preview",
    "gpt-4o-mini-tts",
    "gpt-image-1",
    "gpt-5-image",
    "text-embedding-3-small",
    "omni-moderation-latest",
    "ft:gpt-4-0613:org::id",
    "ft:gpt-5-mini:org::id",
    "ft:",
    "meta-llama/Llama-3.3-70B-Instruct-Turbo",
    "constructor",
    "",
  ])("of %j at OpenAI is unknown", async (model) => {
    expect(await listedPrices("openai", model, TODAY)).toBeNull();
  });

  test.for(["meta-llama/Llama-3.3-70B-Instruct", "meta-llama/llama-3.3-70b-instruct-turbo", "gpt-4o-mini", ""])(
    "of %j at Together is unknown",
    async (model) => {
      expect(await listedPrices("together", model, TODAY)).toBeNull();
    },
  );

  test("of the offline provider is nothing, whatever the model", async () => {
    expect(await listedPrices("offline", "gpt-4o", TODAY)).toEqual({
      input: 0,
      cached_input: 0,
      cache_write: 0,
      output: 0,
      long_prompts: [],
      batch_factor: 1,
      source: "offline provider",
      date: "2026-11-22",
    });
  });

  test.for([
    ["gpt-4o-mini", 0.5],
    ["gpt-4.1-nano-2025-04-14", 0.5],
    ["o4-mini", 0.5],
    ["gpt-5.4-pro", 0.5],
    ["gpt-6-astra", 0.5],
    ["ft:gpt-4.1-mini-2025-04-14:org::id", 0.5],
    ["chatgpt-4o-latest", null],
    ["gpt-5-chat-latest", null],
    ["gpt-5.2-codex", null],
    ["gpt-3.5-turbo-1106", null],
    ["gpt-4-32k", null],
    ["ft:gpt-4o-2024-08-06:org::id", null],
  ] as const)("of %s in batches is times %s", async ([model, factor]) => {
    expect((await openAi(model)).batch_factor).toBe(factor);
  });
});

describe("the price list", async () => {
  const listed = await priceList(TODAY);
  const others = [...(await anthropicPriceList("2026-11-26")), ...(await geminiPriceList("2026-11-26"))];
  const list = [...listed, ...others];

  test("has every model of a provider once, and the same price as when it is asked for", async () => {
    expect(new Set(listed.map(({ provider, model }) => `${provider} ${model}`)).size).toBe(listed.length);
    for (const { provider, model, prices } of listed) {
      expect(await listedPrices(provider, model, TODAY), model).toEqual(prices);
    }
  });

  test("has plausible rates: none below 0, and cached input no dearer than input", () => {
    for (const { model, prices } of list) {
      for (const rates of [prices, ...prices.long_prompts]) {
        expect(Math.min(rates.cached_input, rates.output), model).toBeGreaterThanOrEqual(0);
        expect(rates.cached_input, model).toBeLessThanOrEqual(rates.input);
        expect(rates.cache_write, model).toBeGreaterThanOrEqual(rates.input);
        expect(rates.cache_write_1h, model).toBe(model.startsWith("claude-") ? 2 * rates.input : undefined);
        expect(Math.max(rates.input, rates.output), model).toBeLessThanOrEqual(1_000);
      }
    }
  });

  test("names the source and the date of each price", () => {
    for (const { model, prices } of list) {
      expect(prices.source, model).toMatch(/^(OpenAI|Together|Anthropic|Google)'s (list|model catalog)/);
      expect(prices.date, model).toBe(dayOf(new Date(prices.date)));
      expect(prices.date <= "2026-11-22", model).toBe(true);
    }
  });

  test("names the release of genai-prices that is installed", () => {
    const path = new URL("../../node_modules/@pydantic/genai-prices/package.json", import.meta.url);
    const { version } = JSON.parse(readFileSync(path, "utf8")) as { version: string };
    const sources = new Set(list.map(({ prices }) => prices.source));
    for (const name of ["OpenAI", "Anthropic", "Google"]) {
      expect([...sources]).toContain(`${name}'s list, by @pydantic/genai-prices ${version}`);
    }
  });
});

describe("the cost of a request, in billionths of a dollar", () => {
  test("has each part of the prompt at its own rate, and the completion", async () => {
    const prices = await openAi("gpt-4o-mini");
    expect(costOf(prices, reportedUsage(1_000, 100))).toBe(150_000 + 60_000);
    expect(costOf(prices, reportedUsage(1_000, 100, { cachedTokens: 400 }))).toBe(90_000 + 30_000 + 60_000);
    expect(costOf(prices, reportedUsage(1_000, 0, { cachedTokens: 1_000 }))).toBe(75_000);
    const parts = { cachedTokens: 2_000, cacheWriteTokens: 5_000 };
    expect(costOf(await openAi("gpt-5.6-terra"), reportedUsage(10_000, 300, parts))).toBe(
      6_000_000 + 400_000 + 12_500_000 + 3_600_000,
    );
  });

  test("has reasoning tokens once, as the completion tokens that they are", async () => {
    // 500 completion tokens, of which 400 are reasoning.
    expect(costOf(await openAi("o3"), reportedUsage(0, 500))).toBe(4_000_000);
  });

  test("is that of the long rates for the whole request from 272,000 prompt tokens", async () => {
    const prices = await openAi("gpt-5.4");
    expect(costOf(prices, reportedUsage(271_999, 1_000))).toBe(679_997_500 + 15_000_000);
    expect(costOf(prices, reportedUsage(272_000, 1_000))).toBe(1_360_000_000 + 22_500_000);
    expect(costOf(prices, reportedUsage(272_000, 0, { cachedTokens: 272_000 }))).toBe(136_000_000);
  });

  test("is times the factor in a batch", async () => {
    const prices = await openAi("gpt-4.1");
    expect(costOf(prices, reportedUsage(1_001, 3, { cachedTokens: 1 }), prices.batch_factor ?? 1)).toBe(
      (2_000_000 + 500 + 24_000) / 2,
    );
  });

  test("is rounded once, and half up", async () => {
    expect(costOf(await openAi("gpt-5-nano"), reportedUsage(3, 0, { cachedTokens: 3 }))).toBe(15);
    const odd = { ...(await openAi("gpt-4o-mini")), input: 0.0125, output: 0.0004 };
    expect(costOf(odd, reportedUsage(1, 0))).toBe(13);
    expect(costOf(odd, reportedUsage(1, 1))).toBe(13);
    expect(costOf(odd, reportedUsage(1_000_000, 0))).toBe(12_500_000);
  });

  test("is 0 for no tokens, and else unknown without a price", () => {
    expect(costOf(null, reportedUsage(0, 0))).toBe(0);
    expect(costOf(null, reportedUsage(1, 0))).toBeNull();
    expect(costOf(null, reportedUsage(0, 1))).toBeNull();
  });

  const rate = fc.integer({ min: 0, max: 200_000_000 }).map((millionths) => millionths / 1e6);
  const rates: fc.Arbitrary<Rates> = fc.record({ input: rate, cached_input: rate, cache_write: rate, output: rate });
  const anyPrices: fc.Arbitrary<Prices> = fc
    .tuple(
      rates,
      fc.array(
        fc.tuple(fc.integer({ min: 1, max: 300_000 }), rates).map(([from, tier]) => ({ from, ...tier })),
        { maxLength: 3 },
      ),
    )
    .map(([base, long_prompts]) => ({
      ...base,
      long_prompts,
      batch_factor: 0.5,
      source: "a test",
      date: "2026-11-22",
    }));
  const anyUsage: fc.Arbitrary<PricedUsage> = fc
    .tuple(...Array.from({ length: 4 }, () => fc.integer({ min: 0, max: 150_000 })))
    .map(([plain = 0, cached = 0, written = 0, completion = 0]) =>
      reportedUsage(plain + cached + written, completion, { cachedTokens: cached, cacheWriteTokens: written }),
    );

  test("is never above the highest cost of its tokens, however they are split", () => {
    fc.assert(
      fc.property(anyPrices, anyUsage, fc.constantFrom(0.25, 0.5, 1), (prices, used, factor) => {
        const highest = highestCost(prices, used.promptTokens, used.completionTokens);
        expect(costOf(prices, used, factor)).toBeLessThanOrEqual(highest);
      }),
      { numRuns: rounds(2_000, 100_000) },
    );
  });

  test("does not grow with the cached part where cached input is no dearer", () => {
    const cheaper = anyPrices.map((prices) => {
      const cap = (each: Rates) => ({ ...each, cached_input: Math.min(each.cached_input, each.input) });
      return {
        ...prices,
        ...cap(prices),
        long_prompts: prices.long_prompts.map((tier) => ({ ...tier, ...cap(tier) })),
      };
    });
    fc.assert(
      fc.property(cheaper, anyUsage, (prices, used) => {
        expect(costOf(prices, used)).toBeLessThanOrEqual(costOf(prices, { ...used, cachedTokens: 0 }) ?? 0);
      }),
      { numRuns: rounds(2_000, 100_000) },
    );
  });
});

describe("the most completion tokens", () => {
  test.for([
    ["gpt-4o", 16_384],
    ["gpt-4o-2024-11-20", 16_384],
    ["gpt-4o-2024-05-13", 4_096],
    ["ft:gpt-4o-mini-2024-07-18:org::id", 16_384],
    ["gpt-4.1-mini-2025-04-14", 32_768],
    ["gpt-4", 8_192],
    ["gpt-4-turbo-2024-04-09", 4_096],
    ["gpt-3.5-turbo-0125", 4_096],
    ["o1", 100_000],
    ["o4-mini-2025-04-16", 100_000],
    ["gpt-5-mini", 128_000],
    ["gpt-5-chat-latest", 16_384],
    ["gpt-5-pro-2025-10-06", 272_000],
    ["gpt-6-astra", 128_000],
  ] as const)("of %s are %d", ([model, limit]) => {
    expect(outputLimit(model)).toBe(limit);
  });

  test.for([
    ["gpt-5.6-luna", 1_050_000, 128_000],
    ["claude-haiku-4-5-20251001", 200_000, 64_000],
    ["claude-3-5-haiku-latest", 200_000, 8_192],
    ["claude-opus-5-5", 1_000_000, 128_000],
    ["models/gemini-2.5-flash", 1_048_576, 65_536],
    ["gemini-2.5-flash-lite-preview-06-17", 1_048_576, 65_536],
    ["meta-llama/Llama-3.3-70B-Instruct-Turbo", 131_072, null],
  ] as const)("and the context window of %s are facts with a date", ([model, contextWindow, outputTokens]) => {
    expect(modelFacts(model)).toMatchObject({ contextWindow, outputLimit: outputTokens });
    expect(modelFacts(model)?.date).toBe(dayOf(new Date(modelFacts(model)?.date ?? 0)));
  });

  test.for(["meta-llama/Llama-3.3-70B-Instruct-Turbo", "gpt-4o-mini-2", "claude-opus-4-12", "gpt-7", "ft:", ""])(
    "of %j are not known",
    (model) => {
      expect(outputLimit(model)).toBeNull();
    },
  );
});
