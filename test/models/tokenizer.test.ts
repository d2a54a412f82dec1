import { getEncodingNameForModel, Tiktoken, type TiktokenModel } from "js-tiktoken/lite";
import { expect, test } from "vitest";
import { Bpe } from "../../src/models/bpe.ts";
import { encodingFor } from "../../src/models/encodings.ts";
import { loadEncoder, loadTokenizer } from "../../src/models/tokenizer.ts";
import { rounds } from "../support/rounds.ts";

const NATURAL = [
  "The quick brown fox jumps over the lazy dog; it didn't stop there, and they'll say WE'RE LATE, he's 42.",
  "Wiederaufnahme der Sitzungsperiode: Ich erkläre die am Freitag, dem 17. Dezember unterbrochene Sitzung für wieder aufgenommen. Die Straßenbahnhaltestelle heißt »Größenwahn«.",
  'export function f<T>(x: T[]): number {\n\treturn x.length > 0 ? x[0]! * 1_000 : -1; // naïve\n}\n\n\n  if (a != b) { c["d"] += 0xff }\r\n',
  "今天天气很好，我们去公园散步吧。東京は日本の首都です。한국어도 있습니다.",
  "👨‍👩‍👧‍👦 😀😀 👍🏽 e\u0301te\u0301 – “quotes” … ½ ² Ⅷ १२३ مرحبا بالعالم שלום हिन्दी ภาษาไทย",
  "<|endoftext|> <|fim_prefix|> <|endofprompt|> are ordinary text here",
  "ÉCOLE McDonald's iPhone XMLHttpRequest ǅungla HTML5Parser AAAaaa 日A日a aʰA",
  "   leading, trailing   \n\n \t\n x \u00a0\u3000y \u2028 z\ufeff  ",
  "https://example.com/a/b//c?d=e&f=%20#g\n/// ---\n=====\r\n/\r\n",
  "lone \ud800 surrogates \udfff\udc00 and a null \u0000 byte",
  "",
];

/** Strings in them meet every rule of the patterns, and the borders between these. */
const ALPHABETS = [
  "abcdefghijklmnopqrstuvwxyz",
  "etaoin ETAOIN",
  "aA1 .\n",
  " \t\n\r\u00a0\u3000x!",
  "'sSrReEvVlLtTmMdD ’",
  "/\r\n!-a ",
  "中文日本語ひらカナ한국a1 ",
  "aAʰǅé\u0301\u093eक中 ",
  "0123456789²½Ⅷ٣, ",
  "😀👍🏽\u200d👩\u{10ffff}\u0000\u00ad~",
  "\ud800\udfffa\u{1f600} ",
].map((alphabet) => [...alphabet]);

const LONG = [
  "a",
  "A",
  " ",
  "\n",
  "\r\n",
  " \n",
  "\t",
  "!",
  "-",
  "=",
  "7",
  "ab",
  "a ",
  "中",
  "今天天气",
  "😀",
  "👨‍👩‍👧‍👦",
  "\u0301",
  "é",
];

const RANKS = {
  o200k_base: () => import("js-tiktoken/ranks/o200k_base"),
  cl100k_base: () => import("js-tiktoken/ranks/cl100k_base"),
  p50k_base: () => import("js-tiktoken/ranks/p50k_base"),
  r50k_base: () => import("js-tiktoken/ranks/r50k_base"),
};

test.for(["o200k_base", "cl100k_base", "p50k_base", "r50k_base"] as const)(
  "%s gives the tokens of js-tiktoken",
  async (name) => {
    const reference = new Tiktoken((await RANKS[name]()).default);
    const encoder = await loadEncoder(name);
    const texts = [
      ...NATURAL,
      NATURAL.join("\n").repeat(4),
      ...randomTexts(name === "o200k_base" || name === "cl100k_base" ? 2000 : 500),
      ...LONG.map((unit) => unit.repeat(400 / unit.length)),
    ];
    for (const text of texts) {
      const tokens = encoder.encode(text);
      expect(tokens, JSON.stringify(text)).toEqual(reference.encode(text, [], []));
      expect(encoder.count(text)).toBe(tokens.length);
    }
  },
);

test("long runs, of one character and of random letters, have the tokens of js-tiktoken", async () => {
  const reference = new Tiktoken((await RANKS.o200k_base()).default);
  const encoder = await loadEncoder("o200k_base");
  const random = randomNumbers(3);
  const letters = Array.from({ length: 2000 }, () => ALPHABETS[0]![random(26)]).join("");
  for (const text of ["a".repeat(2000), " ".repeat(1500), "中".repeat(500), letters]) {
    expect(encoder.encode(text)).toEqual(reference.encode(text, [], []));
  }
});

test("pieces of any length are merged lowest rank first, leftmost first, in any vocabulary", () => {
  const random = randomNumbers(5);
  for (let round = 0; round < rounds(50, 1_000); round++) {
    const letters = 2 + random(3);
    const word = (length: number): string =>
      Array.from({ length }, () => String.fromCharCode(97 + random(letters))).join("");
    const bytes = Array.from({ length: 256 }, (_, byte) => String.fromCharCode(byte));
    const words = Array.from({ length: 5 + random(80) }, () => word(2 + random(random(2) === 0 ? 2 : 6)));
    const vocabulary = shuffle([...new Set([...bytes, ...words])], random);
    const bpe = new Bpe(`! 0 ${vocabulary.map((token) => Buffer.from(token, "latin1").toString("base64")).join(" ")}`);
    const ranks = new Map(vocabulary.map((token, rank) => [token, rank]));
    for (let i = 0; i < 20; i++) {
      const piece = word(1 + random(i < 15 ? 60 : 400));
      const out: number[] = [];
      const data = Buffer.from(`${piece}\xff`, "latin1");
      expect(bpe.tokens(data, 0, piece.length, out)).toBe(out.length);
      expect(out, piece).toEqual(mergeByDefinition(piece, ranks));
    }
  }
});

test("a megabyte of one character takes a time like that of prose", { timeout: 60_000 }, async () => {
  const tokenizer = await loadTokenizer("gpt-4o");
  const prose = NATURAL.slice(0, 2).join(" ").repeat(5000).slice(0, 1_000_000);
  const time = (text: string): number => {
    const start = performance.now();
    tokenizer.count(text);
    return performance.now() - start;
  };
  time(prose);
  const budget = 20 * Math.max(time(prose), 20);
  for (const unit of LONG) {
    expect(time(unit.repeat(1_000_000 / Buffer.byteLength(unit))), JSON.stringify(unit)).toBeLessThan(budget);
  }
  expect(tokenizer.count("a".repeat(3_000_000))).toBe(375_000);
});

test("an encoder is loaded once", async () => {
  expect(loadEncoder("o200k_base")).toBe(loadEncoder("o200k_base"));
  expect(await loadTokenizer("gpt-4o")).toMatchObject({ encoding: "o200k_base", estimated: false });
  expect(await loadTokenizer("mistral-7b")).toMatchObject({ encoding: "o200k_base", estimated: true });
});

test("models have the encodings that js-tiktoken's table gives them", async () => {
  // The table is a switch: its source is the one list of its models.
  const cases = getEncodingNameForModel.toString().matchAll(/case "([^"]+)"/g);
  const models = Array.from(cases, ([, model]) => model as TiktokenModel);
  expect(models).toContain("gpt-5-chat-latest");

  const same: Record<string, string> = { gpt2: "r50k_base", p50k_edit: "p50k_base" };
  for (const model of models.filter((name) => name !== "davinci-002")) {
    const name = getEncodingNameForModel(model);
    expect(encodingFor(model), model).toEqual({ encoding: same[name] ?? name, estimated: false });
  }
  // The table has p50k_base for it, against OpenAI's own table.
  expect(encodingFor("davinci-002")).toEqual({ encoding: "cl100k_base", estimated: false });

  const pairs = [
    [await import("js-tiktoken/ranks/gpt2"), await RANKS.r50k_base()],
    [await import("js-tiktoken/ranks/p50k_edit"), await RANKS.p50k_base()],
  ] as const;
  for (const [one, other] of pairs) {
    expect(one.default.pat_str).toBe(other.default.pat_str);
    expect(one.default.bpe_ranks).toBe(other.default.bpe_ranks);
  }
});

test.for([
  ["gpt-5.1-codex", "o200k_base", false],
  ["gpt-4.1-mini-2026-01-01", "o200k_base", false],
  ["gpt-oss-20b", "o200k_base", false],
  ["openai/gpt-oss-120b", "o200k_base", false],
  ["o3-deep-research", "o200k_base", false],
  ["gpt-4-0613", "cl100k_base", false],
  ["ft:gpt-3.5-turbo-0125:acme::8abc", "cl100k_base", false],
  ["ft:gpt-4o-mini-2024-07-18:acme:gpt-4:8abc", "o200k_base", false],
  ["ft:davinci-002:acme::8abc", "cl100k_base", false],
  ["davinci:ft-acme-2023-01-01", "r50k_base", false],
  ["text-embedding-004", "o200k_base", true],
  ["adapter-7b", "o200k_base", true],
  ["meta-llama/Llama-3.3-70B-Instruct-Turbo", "o200k_base", true],
  ["mistralai/Mistral-7B-Instruct-v0.3", "o200k_base", true],
  ["", "o200k_base", true],
] as const)("%s has %s, estimated: %s", ([model, encoding, estimated]) => {
  expect(encodingFor(model)).toEqual({ encoding, estimated });
});

/** The tokens of a piece, as tiktoken defines them. */
function mergeByDefinition(piece: string, ranks: ReadonlyMap<string, number>): number[] {
  let parts = ranks.has(piece) ? [piece] : [...piece];
  for (;;) {
    const joined = parts.slice(1).map((part, i) => ranks.get(parts[i]! + part) ?? Infinity);
    const lowest = Math.min(...joined);
    if (lowest === Infinity) {
      return parts.map((part) => ranks.get(part)!);
    }
    const at = joined.indexOf(lowest);
    parts = parts.toSpliced(at, 2, parts[at]! + parts[at + 1]!);
  }
}

function randomTexts(count: number): string[] {
  const random = randomNumbers(1);
  const words = NATURAL.join(" ").split(/(?= )/);
  return Array.from({ length: count }, (_, i) => {
    const parts = i % 12 === 0 ? words : ALPHABETS[i % ALPHABETS.length]!;
    const longest = i % 4 === 0 ? 12 : 1;
    return Array.from({ length: 1 + random(30) }, () => parts[random(parts.length)]!.repeat(1 + random(longest))).join(
      "",
    );
  });
}

function shuffle<T>(items: T[], random: (below: number) => number): T[] {
  return items
    .map((item) => ({ item, key: random(2 ** 32) }))
    .toSorted((a, b) => a.key - b.key)
    .map(({ item }) => item);
}

/** The same numbers for the same seed: whole, from 0 to before `below`. */
function randomNumbers(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * below);
  };
}
