import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseConfig } from "../src/config/parse.ts";
import type { Estimate } from "../src/estimate/estimate.ts";
import { Prefixes } from "../src/execute/prefixes.ts";
import { callsPerInput } from "../src/plan/calls.ts";
import { instructionsOf, promptOf, type PromptRow } from "../src/plan/prompt.ts";
import { settingsOf } from "../src/plan/settings.ts";
import { sharedPrefixes } from "../src/plan/shared-prefix.ts";
import { type ConfigOverrides, configFor, rows } from "./support/harness.ts";
import { ENGINES, startEngine } from "./support/engines.ts";
import { startWorker } from "./support/queue-lab.ts";
import { NO_JITTER, openLab } from "./support/lab.ts";
import { rounds } from "./support/rounds.ts";
import type { IncomingCall, RecordedRequest } from "./support/server.ts";

/** More than any model's shortest cached prefix. */
const LONG = "Do what the instruction says, and nothing else. ".repeat(200);
const SHORT = "Be brief.";
const WORDS = "word ".repeat(900);

function perspective(condition: string, strategy: string, rest: Record<string, unknown> = {}) {
  return { condition, reading: null, strategy, ...rest };
}

/** The prefixes that the calls of a config share, by perspective and step, as texts. */
function textsOf(overrides: ConfigOverrides, row: Partial<PromptRow> = {}, inputs = 10): (string | null)[] {
  const config = parseConfig(
    configFor({ ...overrides, model_config: { prompt_caching: true, ...overrides.model_config } }),
  );
  const settings = settingsOf(config, { provider: "openai", baseUrl: null, endpoint: "chat" });
  const prefixes = sharedPrefixes(config, settings, inputs);
  const instructions = instructionsOf(config);
  const values = { input: "An input.", reference: null, columns: {}, ...row };
  return callsPerInput(config.agent_perspectives).map(({ perspective: position, step }) => {
    const prefix = prefixes?.(position, step, values);
    if (!prefix) return null;
    const own = instructions[position]!;
    const { messages } = promptOf(own, step, values, own.reading === null ? null : "Notes.");
    const before = messages.slice(0, prefix.message).map(({ role, content }) => `${role}: ${content}\n`);
    const text = `${before.join("")}${messages[prefix.message]?.content.slice(0, prefix.length)}`;
    return text.replaceAll(LONG, "Long!").replaceAll(WORDS, "Words!");
  });
}

describe("the longest prefix that calls of a run share", () => {
  const [a, b] = [perspective("A", `${LONG}A`), perspective("B", `${LONG}B`)];

  test("ends before the text, where the instruction comes first", () => {
    expect(textsOf({ agent_perspectives: [a, b] })).toEqual([`Long!A\n\n\`\`\``, `Long!B\n\n\`\`\``]);
  });

  test("is the input with what is before it, where a template puts it first and there is nothing longer", () => {
    const shorter = [perspective("A", "A"), perspective("B", "B")];
    const texts = textsOf(
      { agent_perspectives: shorter, prompt_template: "Read this: {text}\n{instruction}" },
      { input: LONG },
    );
    expect(texts).toEqual([`Read this: Long!\n`, `Read this: Long!\n`]);
  });

  test("has the system prompt and the examples, or what saves more because more calls share it", () => {
    const messages = [
      { role: "user", content: LONG },
      { role: "assistant", content: "Yes." },
    ];
    const shorter = [perspective("A", "A"), perspective("B", "B", { messages: null })];
    const texts = textsOf({ agent_perspectives: shorter, system_prompt: LONG, messages });
    expect(texts).toEqual([`system: Long!\nuser: Long!\nassistant: Yes.\nA\n\n\`\`\``, "Long!"]);
  });

  test("of one input is what its perspectives share", () => {
    const texts = textsOf({ agent_perspectives: [a, b], system_prompt: LONG }, {}, 1);
    expect(texts).toEqual(["Long!", "Long!"]);
    expect(textsOf({ agent_perspectives: [a, b] }, {}, 1)).toEqual([null, null]);
    expect(textsOf({ agent_perspectives: [a], replicates: 2 }, {}, 1)[0]).toBe(
      `Long!A\n\n\`\`\`An input.\`\`\`Long!A\n\n`,
    );
  });

  test("is that of all inputs if the input adds little, and of one input if it adds much", () => {
    const own = { agent_perspectives: [a, b], prompt_template: "{text} {instruction}", system_prompt: LONG };
    expect(textsOf(own, { input: "Short." })).toEqual(["Long!", "Long!"]);
    const texts = textsOf(own, { input: LONG.repeat(9) });
    expect(texts).toEqual([`system: Long!\n${"Long!".repeat(9)} `, `system: Long!\n${"Long!".repeat(9)} `]);
  });

  test("ends before notes, and a reading shares the input with others", () => {
    const noted = { condition: "C", reading: `${LONG}R`, strategy: `${LONG}C` };
    expect(textsOf({ agent_perspectives: [noted] })).toEqual([`Long!R\n\n\`\`\``, `Long!C\n\n\`\`\``]);
    const first = { agent_perspectives: [a, noted], prompt_template: "{text}\n{instruction}" };
    expect(textsOf(first, { input: LONG })).toEqual([`Long!\n`, `Long!\n`, null]);
    const both = { ...first, prompt_template: "{input}\n{text}\n{instruction}" };
    expect(textsOf(both, { input: LONG })).toEqual([`Long!\nLong!\n`, `Long!\nLong!\n`, `Long!\n`]);
  });

  test("is none below the shortest that the model caches, or without prompt_caching", () => {
    expect(textsOf({ agent_perspectives: [perspective("A", SHORT)] })).toEqual([null]);
    const model = (name: string) => ({
      agent_perspectives: [perspective("A", WORDS)],
      model_config: { model_name: name },
    });
    expect(textsOf(model("claude-sonnet-4-5-20250929"))).toEqual([`Words!\n\n\`\`\``]);
    expect(textsOf(model("claude-haiku-4-5"))).toEqual([null]);
    expect(textsOf({ agent_perspectives: [a], model_config: { prompt_caching: false } })).toEqual([null]);
  });

  test("is shared only by calls with the same parameters", () => {
    const warm = perspective("B", `${LONG}B`, { model_config: { temperature: 1 } });
    expect(textsOf({ agent_perspectives: [a, warm], system_prompt: LONG }, {}, 1)).toEqual([null, null]);
  });

  const text = fc.constantFrom(LONG, `${LONG}é`, "😀");
  const template = fc.constantFrom(
    "{text}{instruction}",
    `${LONG}{input}{text}{instruction}`,
    `${LONG}{input}{column}: {text} {instruction}`,
    "{reference}{input}{instruction}{text}",
  );
  const anyPerspective = fc.record({
    reading: fc.option(text),
    strategy: text,
    system_prompt: fc.option(text),
    prompt_template: fc.option(template),
  });

  test("is the same text wherever it has the same id, whatever the config", () => {
    let shared = 0;
    fc.assert(
      fc.property(
        fc.array(anyPerspective, { minLength: 1, maxLength: 4 }),
        fc.integer({ min: 1, max: 3 }),
        (list, inputs) => {
          const config = parseConfig(
            configFor({
              agent_perspectives: list.map((each, at) => ({ condition: `${at}`, ...each })),
              add_references: true,
              model_config: { prompt_caching: true },
            }),
          );
          const settings = settingsOf(config, { provider: "openai", baseUrl: null, endpoint: "chat" });
          const prefixes = sharedPrefixes(config, settings, inputs)!;
          const instructions = instructionsOf(config);
          const known = new Map<string, string>();
          for (let input = 0; input < inputs; input += 1) {
            const row = { input: `${input} ${LONG}`, reference: "R", columns: { column: [input] } };
            for (const { perspective: position, step } of callsPerInput(config.agent_perspectives)) {
              const prefix = prefixes(position, step, row);
              if (!prefix) continue;
              const own = instructions[position]!;
              const { messages } = promptOf(own, step, row, own.reading === null ? null : `Notes ${position}`);
              const content = messages[prefix.message]!.content;
              expect(prefix.length).toBeLessThanOrEqual(content.length);
              const said = JSON.stringify([messages.slice(0, prefix.message), content.slice(0, prefix.length)]);
              const key = `${prefix.id} ${prefix.isOfInput ? input : ""}`;
              if (known.has(key)) shared += 1;
              expect((known.get(key) ?? said) === said).toBe(true);
              known.set(key, said);
            }
          }
        },
      ),
      { numRuns: rounds(100, 5_000) },
    );
    expect(shared).toBeGreaterThan(100);
  });
});

describe("calls that wait for the first of their prefix", () => {
  test("all go in the end, at most one of a prefix before the first answer, whatever ends how", () => {
    const call = fc.record({ key: fc.constantFrom("a", "b", "c"), failures: fc.integer({ min: 0, max: 2 }) });
    fc.assert(
      fc.property(fc.array(call, { maxLength: 30 }), fc.array(fc.nat(), { minLength: 100 }), (calls, choices) => {
        const prefixes = new Prefixes<number>();
        const waiting = calls.map((_, id) => id);
        const left = calls.map(({ failures }) => failures);
        const answered = new Set<string>();
        const inFlight: number[] = [];
        let done = 0;
        for (let step = 0; done < calls.length; step += 1) {
          // A call waits only for one that is in flight.
          expect(waiting.length + inFlight.length).toBeGreaterThan(0);
          const choice = choices[step % choices.length]!;
          const next = choice % 2 === 0 || inFlight.length === 0 ? waiting.shift() : undefined;
          if (next !== undefined) {
            if (!prefixes.holds(calls[next]!.key, next, next)) inFlight.push(next);
            continue;
          }
          if (inFlight.length === 0) continue;
          const [id] = inFlight.splice(choice % inFlight.length, 1) as [number];
          const { key } = calls[id]!;
          const others = inFlight.filter((other) => calls[other]!.key === key);
          if (!answered.has(key)) expect(others).toEqual([]);
          if (left[id]! > 0) {
            left[id]! -= 1;
            waiting.push(...prefixes.unanswered(key, id), id);
          } else {
            answered.add(key);
            done += 1;
            waiting.push(...prefixes.answered(key));
          }
        }
        expect(prefixes.held).toBe(0);
      }),
      { numRuns: rounds(300, 20_000) },
    );
  });
});

test("only so many calls wait, and only so many prefixes are remembered", () => {
  const prefixes = new Prefixes<number>();
  const most = 10_000;
  const held = Array.from({ length: most + 2 }, (_, id) => prefixes.holds("a", id, id));
  // The first goes first, and the last is one too many.
  expect(held.flatMap((isHeld, id) => (isHeld ? [] : [id]))).toEqual([0, most + 1]);
  expect(prefixes.held).toBe(most);
  expect(prefixes.answered("a")).toHaveLength(most);
  for (let key = 0; key < most; key += 1) prefixes.answered(`${key}`);
  // "a" is forgotten, so that a call of it goes first again; "9999" is not.
  expect(["a", "a", "9999", "9999"].map((key, id) => prefixes.holds(key, id, id))).toEqual([false, true, false, false]);
});

/** The requests in the order in which they arrived, by what their prompts begin with. */
function byPrefix(requests: readonly RecordedRequest[], prefixOf: (prompt: string) => string) {
  const groups = Map.groupBy(requests, ({ body }) => prefixOf(JSON.stringify(body?.["messages"])));
  return [...groups.values()];
}

/** Whether no request of a group was sent before one of them was answered. */
function expectFirst(group: readonly RecordedRequest[]): void {
  const answered = Math.min(...group.map(({ status, ended }) => (status === 200 ? (ended ?? 0) : Infinity)));
  const early = group.filter(({ at }) => at < answered);
  // Before the answer there is never more than one in flight.
  for (const [at, request] of early.entries()) {
    const next = early[at + 1];
    if (next) expect(next.at).toBeGreaterThanOrEqual(request.ended ?? Infinity);
  }
  expect(group.length).toBeGreaterThan(early.length);
}

describe.concurrent("a run with prompt_caching", () => {
  const instructed = [perspective("A", `${LONG}A`), perspective("B", `${LONG}B`)];
  const fails = ({ nth, index }: IncomingCall) =>
    index === 0 && nth === 1 ? ({ kind: "status", status: 500 } as const) : undefined;

  test("sends one call of each instruction first, also after a failure, and the others after its answer", async () => {
    await using lab = await openLab({
      config: { agent_perspectives: instructed, model_config: { prompt_caching: true } },
      data: rows(6),
      server: { keepBodies: true, latency: 40, behave: fails },
      env: NO_JITTER,
    });
    const { code, stderr, run } = await lab.runConfig();
    expect(code, stderr).toBe(0);
    expect(run?.calls.succeeded).toBe(12);
    const groups = byPrefix(lab.server.requests, (prompt) => prompt.slice(0, LONG.length + 30));
    expect(groups.map(({ length }) => length).toSorted((x, y) => x - y)).toEqual([6, 7]);
    for (const group of groups) expectFirst(group);
  });

  test("sends one call of each input first, where the template puts the input first", async () => {
    await using lab = await openLab({
      config: {
        agent_perspectives: [perspective("A", "A"), perspective("B", "B"), perspective("C", "C")],
        prompt_template: "{text}\n{instruction}",
        model_config: { prompt_caching: true },
      },
      data: rows(4).map(({ input }) => ({ input: `${input} ${LONG}` })),
      server: { keepBodies: true, latency: 40 },
    });
    const { code, stderr } = await lab.runConfig();
    expect(code, stderr).toBe(0);
    const groups = byPrefix(lab.server.requests, (prompt) => prompt.slice(0, 100));
    expect(groups.map(({ length }) => length)).toEqual([3, 3, 3, 3]);
    for (const group of groups) expectFirst(group);
  });

  test("reuses the answers of a run without it, and exports the same", async () => {
    const config = { agent_perspectives: instructed };
    await using lab = await openLab({ config, data: rows(2) });
    expect((await lab.runConfig()).code).toBe(0);
    const before = await lab.dataset();
    await lab.space.write("config.json", {
      ...lab.config,
      model_config: { ...lab.config.model_config, prompt_caching: true },
    });
    const { code, run, stderr } = await lab.runConfig(["--yes"]);
    expect(code, stderr).toBe(0);
    expect(run?.calls).toMatchObject({ total: 4, reused: 4 });
    expect(lab.server.requests).toHaveLength(4);
    expect((await lab.dataset()).tasks).toEqual(before.tasks);
  });

  test("waits for no call that cannot be sent: a run whose calls are all refused ends", async () => {
    await using lab = await openLab({
      config: { agent_perspectives: instructed, max_attempts: 1, model_config: { prompt_caching: true } },
      data: rows(3),
      server: { behave: () => ({ kind: "contentFilter" }) },
    });
    const { code, run, stderr } = await lab.runConfig();
    expect(code, stderr).toBe(1);
    expect(run?.calls).toMatchObject({ total: 6, failed: 6, pending: 0 });
  });
});

describe.concurrent("an estimate with prompt_caching", () => {
  async function estimated(config: ConfigOverrides): Promise<{ text: string; json: Estimate }> {
    await using lab = await openLab({ config, data: rows(10) });
    const [text, json] = await Promise.all([
      lab.datagen("estimate", "config.json"),
      lab.datagen("estimate", "config.json", "--json"),
    ]);
    expect(text.code, text.stderr).toBe(0);
    return { text: text.stdout, json: JSON.parse(json.stdout) as Estimate };
  }

  test("says that nothing is shared where nothing is", async () => {
    const { text, json } = await estimated({ model_config: { prompt_caching: true } });
    expect(text).toMatch(/^cache +nothing: no two calls to send begin with the same 1,024 tokens or more$/m);
    expect(json.prompt_caching).toMatchObject({ written_tokens: 0, read_tokens: 0, shortest_tokens: 1_024 });
  });

  test("shows what a cache may take, and counts on nothing that the provider does not promise", async () => {
    const asked = { agent_perspectives: [perspective("A", LONG)] };
    const { text, json } = await estimated({ ...asked, model_config: { prompt_caching: true } });
    const { json: without } = await estimated(asked);
    expect(text).toMatch(/^cache +up to [\d,]+ prompt tokens; the cost does not count on it$/m);
    expect(json.cost_usd).toEqual(without.cost_usd);
    expect(without).not.toHaveProperty("prompt_caching");
    const { written_tokens: written, read_tokens: read } = json.prompt_caching!;
    expect(read).toBe(9 * written);
    expect(written).toBeGreaterThan(1_024);
  });
});

describe.concurrent("Anthropic, with prompt_caching,", () => {
  const config: ConfigOverrides = {
    agent_perspectives: [perspective("A", `${LONG}A`)],
    model_config: { model_name: "claude-sonnet-4-5", max_tokens: 100, temperature: 0.5, prompt_caching: true },
  };

  /** An answer that says how much of its prompt was written to the cache, or read from it. */
  const answer = (written: number, read: number) => ({
    kind: "status" as const,
    status: 200,
    body: {
      id: "msg_1",
      type: "message",
      role: "assistant",
      model: "claude-sonnet-4-5",
      content: [{ type: "text", text: "An answer." }],
      stop_reason: "end_turn",
      usage: {
        input_tokens: 50,
        cache_creation_input_tokens: written,
        cache_read_input_tokens: read,
        output_tokens: 10,
      },
    },
  });

  function expectMarked(requests: readonly RecordedRequest[], count: number): void {
    const marked = requests.map(({ body }) => {
      const [message] = body!["messages"] as { content: { text: string; cache_control?: unknown }[] }[];
      return message!.content.map(({ text, cache_control: mark }) => (mark ? { text, mark } : "the rest"));
    });
    const beginning = { text: `${LONG}A\n\n\`\`\``, mark: { type: "ephemeral" } };
    expect(marked).toEqual(Array.from({ length: count }, () => [beginning, "the rest"]));
  }

  test("is told where the prefix of each call ends, and each call costs what it writes and reads", async () => {
    await using lab = await openLab({
      config,
      data: rows(4),
      server: { keepBodies: true, behave: ({ index }) => (index === 0 ? answer(2_000, 0) : answer(0, 2_000)) },
    });
    const { code, stderr, run } = await lab.runConfig(["--yes"]);
    expect(code, stderr).toBe(0);
    expectMarked(lab.server.requests, 4);
    // Once 50 × 3,000 + 2,000 × 3,750 + 10 × 15,000, and three times 50 × 3,000 + 2,000 × 300 + 10 × 15,000.
    expect(Math.round(run!.cost_usd! * 1e9)).toBe(7_800_000 + 3 * 900_000);
    expect(run?.tokens).toMatchObject({ prompt: 4 * 2_050, cached: 3 * 2_000 });
  });

  test("is told the same by a worker", async () => {
    await using engine = await startEngine(ENGINES[0]!);
    await using lab = await openLab({ config, data: rows(2), server: { keepBodies: true } });
    const server = ["--provider", "anthropic", "--base-url", lab.server.anthropicUrl];
    await using worker = await startWorker(["--queue", engine.url, ...server], lab.spawned);
    const { code, stderr } = await lab.runConfig(["--yes", "--queue", engine.url]);
    expect(code, stderr).toBe(0);
    expectMarked(lab.server.requests, 2);
    worker.kill("SIGTERM");
    await worker.done;
  });

  test("is counted on by the estimate of live requests, and not by that of batches", async () => {
    await using lab = await openLab({ config, data: rows(10) });
    const estimate = async () => {
      const { code, stdout, stderr } = await lab.datagen("estimate", "config.json", "--json");
      expect(code, stderr).toBe(0);
      return JSON.parse(stdout) as Estimate;
    };
    const [cached, { stdout }] = await Promise.all([estimate(), lab.datagen("estimate", "config.json")]);
    await lab.space.write("config.json", {
      ...lab.config,
      model_config: { ...lab.config.model_config, prompt_caching: false },
    });
    const usual = await estimate();
    expect(stdout).toMatch(/^cache +[\d,]+ prompt tokens written, [\d,]+ read$/m);
    const { written_tokens: written, read_tokens: read, is_counted: isCounted } = cached.prompt_caching!;
    expect(isCounted).toBe(true);
    expect(read / written).toBeCloseTo(9, 2);
    // A token costs 3 dollars for a million, 3.75 where it is written, and 0.3 where it is read.
    const saved = (read * (3 - 0.3) - written * (3.75 - 3)) / 1e6;
    expect(usual.cost_usd.live!.expected - cached.cost_usd.live!.expected).toBeCloseTo(saved, 6);
    // In a batch, each request may write its prefix: at the highest count of prompts, and half the price.
    const { high, ...sure } = cached.cost_usd.batch!;
    const { high: usualHigh, ...usualSure } = usual.cost_usd.batch!;
    expect(sure).toEqual(usualSure);
    const most = (written + read) * (cached.prompt_tokens.high / cached.prompt_tokens.expected);
    expect(high - usualHigh).toBeCloseTo((most * (3.75 - 3)) / 2e6, 6);
    expect(cached.cost_usd.live!.high).toBeGreaterThanOrEqual(usual.cost_usd.live!.expected);
    // Where it costs less to write a prefix, the most is what it costs not to.
    const prices = { input: 3, cached_input: 0, cache_write: 0, output: 1, batch_factor: 0.5 };
    await lab.space.write("config.json", { ...lab.config, prices });
    const { batch } = (await estimate()).cost_usd;
    expect(batch!.high).toBeGreaterThanOrEqual(batch!.expected);
  });
});
