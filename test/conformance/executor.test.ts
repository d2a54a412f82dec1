import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { EXECUTORS, type ExecutorName } from "../../src/config/executors.ts";
import { batchLab, type BatchLab, chargedBy, expectChargedOnce, PLAIN, PRICES } from "../support/batch-lab.ts";
import { configFor, expectedDataset, promptOf, type ConfigOverrides } from "../support/harness.ts";
import { ENGINES, startEngine, type TestEngine } from "../support/engines.ts";
import { startWorker } from "../support/queue-lab.ts";
import { rounds } from "../support/rounds.ts";
import { answerTo, type Fault, type IncomingCall, shortened } from "../support/server.ts";

/** What a request costs in proportion to a live one. */
const FACTOR = { live: 1, batch: PRICES.batch_factor, queue: 1 } satisfies Record<ExecutorName, number>;

/** A fault for a row of the input, with the config `PLAIN`. */
type FaultOf = (row: number, call: IncomingCall) => Fault | undefined;

let engine: TestEngine;
beforeAll(async () => {
  engine = await startEngine(ENGINES[0]!);
}, 60_000);
afterAll(() => engine[Symbol.asyncDispose]());

describe.concurrent.each(EXECUTORS)("executor %s", (executor) => {
  async function setUp(overrides: ConfigOverrides, inputs: number, faultOf: FaultOf = () => undefined) {
    const stack = new AsyncDisposableStack();
    const options = { behaveBatch: () => ({ states: [] }) };
    const lab = stack.use(await batchLab({ executor, ...overrides }, inputs, options));
    lab.spawned.env["DATAGEN_QUEUE"] = engine.url;
    if (executor === "queue") stack.use(await workerOf(lab));
    const prompts = new Map(lab.data.map(({ input }, row) => [promptOf(PLAIN.strategy, input), row]));
    lab.server.behave = (call) => faultOf(prompts.get(call.prompt) ?? -1, call);
    return { ...lab, [Symbol.asyncDispose]: () => stack.disposeAsync() };
  }

  const workerOf = (lab: BatchLab) => startWorker(["--provider", "openai"], lab.spawned);

  const callsOf = (lab: BatchLab) =>
    lab.query<{ state: string; failure: string | null; attempts: number }>(
      `select c.state, c.failure, (select count(*) from attempts a where a.call_id = c.id) attempts
       from calls c join tasks t on t.id = c.task_id order by t.position, c.id`,
    );

  /** What the run says that it cost is what the server has charged; each attempt is rounded. */
  async function expectPriced(lab: BatchLab): Promise<void> {
    const { run } = lab.show();
    expect(Math.abs((run.cost_usd ?? 0) - chargedBy(lab.server, FACTOR[executor]))).toBeLessThan(1e-6);
  }

  const status = (code: number, more: object = {}): Fault => ({ kind: "status", status: code, ...more });
  const CASES: [fault: Fault, times: number, state: string, failure: string | null, attempts: number][] = [
    [status(500), 1, "succeeded", null, 2],
    [status(500), 9, "failed", "server_error", 4],
    [status(503), 3, "succeeded", null, 4],
    [{ kind: "empty" }, 2, "succeeded", null, 3],
    [{ kind: "empty" }, 9, "failed", "empty", 3],
    [{ kind: "null" }, 9, "failed", "empty", 3],
    [{ kind: "reasoningOnly" }, 9, "failed", "reasoning_exhausted", 3],
    [{ kind: "contentFilter" }, 9, "failed", "content_filter", 1],
    [{ kind: "refusal" }, 9, "failed", "refusal", 1],
    [status(400), 9, "failed", "bad_request", 1],
    [status(400, { code: "context_length_exceeded" }), 9, "failed", "context_too_long", 1],
    [{ kind: "noChoices" }, 9, "failed", "malformed", 4],
    [{ kind: "malformed" }, 1, "succeeded", null, 2],
    [{ kind: "error200", code: "overloaded" }, 1, "succeeded", null, 2],
    [{ kind: "length" }, 1, "succeeded", null, 1],
    [{ kind: "noUsage" }, 1, "succeeded", null, 1],
    [status(429), 1, "succeeded", null, 2],
  ];

  test("decides on every kind of failure, counts it, and prices it", async () => {
    const config = { agent_perspectives: [PLAIN], max_attempts: 4 };
    await using lab = await setUp(config, CASES.length + 1, (row, { nth }) => {
      const [fault, times] = CASES[row] ?? [];
      return nth <= (times ?? 0) ? fault : undefined;
    });
    const result = await lab.run("run", "config.json");
    expect(result.code, result.stderr).toBe(1);
    expect(callsOf(lab)).toEqual([
      ...CASES.map(([, , state, failure, attempts]) => ({ state, failure, attempts })),
      { state: "succeeded", failure: null, attempts: 1 },
    ]);
    const { run, attempts } = lab.show();
    expect(run.status).toBe("failed");
    expect(run.calls).toMatchObject({ total: 18, succeeded: 9, failed: 9, pending: 0, truncated: 1 });
    expect(attempts).toBe(CASES.reduce((sum, [, , , , times]) => sum + times, 1));
    expect(run.tokens.estimated).toBe(true);
    const texts = new Map(
      lab.data.map(({ input }, row) => {
        const [fault, , state] = CASES[row] ?? [];
        return [promptOf(PLAIN.strategy, input), state === "failed" ? null : (fault?.kind ?? "good")];
      }),
    );
    const { tasks } = expectedDataset(lab.config, lab.data, (asked) => {
      const kind = texts.get(asked.prompt);
      if (kind === null) return null;
      return kind === "length" ? shortened(answerTo(asked)) : answerTo(asked);
    });
    const dataset = await lab.dataset();
    expect(dataset.tasks).toEqual(tasks);
    expect(dataset.metadata.calls).toEqual(run.calls);
    lab.expectSound();
  });

  test("prices every request as the server charges it, those included that brought nothing", async () => {
    const faults: Fault[] = [{ kind: "empty" }, { kind: "contentFilter" }, { kind: "refusal" }, status(500)];
    await using lab = await setUp({ agent_perspectives: [PLAIN] }, 12, (row, { nth }) =>
      nth === 1 && row % 3 === 0 ? faults[row / 3] : undefined,
    );
    expect((await lab.run("run", "config.json")).code).toBe(1);
    await expectPriced(lab);
    const { possibly_billed: unclear, steps, run } = lab.show();
    expect(unclear).toEqual({ requests: 0, cost_usd: 0 });
    expect(steps.reduce((sum, step) => sum + (step.cost_usd ?? 0), 0)).toBeCloseTo(run.cost_usd ?? 0, 9);
  });

  const STOPS = [
    [status(401), "refused the API key"],
    [status(404, { code: "model_not_found" }), "does not know the model"],
    [status(429, { code: "insufficient_quota", type: "insufficient_quota" }), "has no quota left"],
  ] as const;

  // What a failure leads to is decided in one place for all executors.
  const played = executor === "live" ? STOPS : STOPS.slice(0, rounds(1, STOPS.length));

  test.for(played)("stops where only a person can go on: %j", async ([fault, message]) => {
    // Beside answers, a 404 is the fault of its call.
    const first = "status" in fault && fault.status === 404 ? 0 : 3;
    await using lab = await setUp({ agent_perspectives: [PLAIN] }, 6, (row) => (row >= first ? fault : undefined));
    const result = await lab.run("run", "config.json");
    expect(result.code, result.stderr).toBe(3);
    expect(result.stderr).toContain(message);
    expect(result.stderr).toMatch(/[Gg]o on with: datagen resume \w+/);
    expect(lab.show().run).toMatchObject({ status: "interrupted", calls: { failed: 0 } });
    lab.server.behave = undefined;
    expect((await lab.run("resume", "latest")).code).toBe(0);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    expectChargedOnce(lab);
    lab.expectSound();
  });

  test("tries failed calls again as often as new ones, and only those", async () => {
    let isBad = true;
    await using lab = await setUp({ agent_perspectives: [PLAIN], max_attempts: 2 }, 4, (row) =>
      isBad && row === 1 ? status(500) : undefined,
    );
    expect((await lab.run("run", "config.json")).code).toBe(1);
    isBad = false;
    let again = 0;
    lab.server.behave = () => (++again === 1 ? status(500) : undefined);
    const resumed = await lab.run("resume", "latest", "--retry-failed");
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(callsOf(lab).map(({ attempts }) => attempts)).toEqual([1, 4, 1, 1]);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    expectChargedOnce(lab);
    lab.expectSound();
  });

  test("asks again for answers that were cut off", async () => {
    await using lab = await setUp({}, 3, (_, call) =>
      call.max_tokens === 200 && isReading(call) && call.prompt.includes(" 3 ") ? { kind: "length" } : undefined,
    );
    expect((await lab.run("run", "config.json")).code).toBe(0);
    const before = lab.show();
    expect(before.run.calls.truncated).toBe(2);
    const resumed = await lab.run("resume", "latest", "--retry-truncated", "--max-tokens", "400");
    expect(resumed.code, resumed.stderr).toBe(0);
    const { run, attempts } = lab.show();
    expect(run.calls).toMatchObject({ succeeded: 18, truncated: 0, failed: 0, pending: 0 });
    // The two readings, and the strategies on them.
    expect(attempts).toBe(18 + 4);
    const { tasks } = expectedDataset(lab.config, lab.data, (asked) =>
      answerTo({
        ...asked,
        max_tokens: isReading(asked) && asked.prompt.includes(" 3 ") ? 400 : asked.max_tokens,
      }),
    );
    expect((await lab.dataset()).tasks).toEqual(tasks);
    lab.expectSound();
  });

  const readings = ["Take notes on", "List what the"];
  const isReading = ({ prompt }: { prompt: string }) => readings.some((start) => prompt.startsWith(start));

  test("works on the input where a reading brings no notes, and not at all where it fails", async () => {
    await using lab = await setUp({}, 2, (_, call) => {
      if (!isReading(call)) return undefined;
      return call.prompt.startsWith("Take") ? { kind: "empty" } : status(400);
    });
    expect((await lab.run("run", "config.json")).code).toBe(1);
    const { tasks } = expectedDataset(lab.config, lab.data, (asked) => {
      if (!isReading(asked)) return answerTo(asked);
      return asked.prompt.startsWith("Take") ? "" : null;
    });
    // It failed, and so it has no text, not even an empty one.
    for (const task of tasks) task.preparations[1] = null;
    expect((await lab.dataset()).tasks).toEqual(tasks);
    expect(lab.query("select failure, count(*) n from calls where state = 'failed' group by failure")).toEqual([
      { failure: "bad_request", n: 2 },
      { failure: "empty", n: 2 },
      { failure: "reading_failed", n: 2 },
    ]);
    lab.expectSound();
  });

  test("asks for every replicate on its own, notes included", async () => {
    await using lab = await setUp({ replicates: 3 }, 2);
    expect((await lab.run("run", "config.json")).code).toBe(0);
    const charged = lab.server.charged();
    expect(charged.size).toBe(lab.expected().calls.length);
    expect([...charged.values()].every((times) => times === 3)).toBe(true);
    const wanted = lab.expected().tasks.map(({ context, responses, preparations }) => ({
      context,
      responses: responses.flatMap((text) => [text, text, text]),
      preparations: preparations.flatMap((text) => [text, text, text]),
    }));
    expect((await lab.dataset()).tasks).toEqual(wanted);
    lab.expectSound();
  });

  test("asks each perspective with its own parameters, reserves for them, and takes each answer for them alone", async () => {
    const common = { max_tokens: 200, temperature: 0.7, seed: 5, extra_body: { a: 1 } };
    const own = [
      undefined,
      { temperature: 0, max_tokens: 50 },
      { seed: null, extra_body: { top_k: 3 } },
      { extra_body: null, stop: ["END"], temperature: null },
    ];
    // The instructions are the same, so that only the parameters tell the prompts apart.
    const perspectives = own.map((model_config, at) => ({
      ...PLAIN,
      condition: `P${at}`,
      ...(model_config && { model_config }),
    }));
    await using lab = await setUp({ agent_perspectives: perspectives, model_config: common, max_cost_usd: 1 }, 2);
    const seen: Record<string, unknown>[] = [];
    lab.server.behave = ({ body }) => void seen.push(body);
    const result = await lab.run("run", "config.json");
    expect(result.code, result.stderr).toBe(0);
    const wanted = [
      common,
      { ...common, temperature: 0, max_tokens: 50 },
      { max_tokens: 200, temperature: 0.7, extra_body: { top_k: 3 } },
      { max_tokens: 200, seed: 5, stop: ["END"] },
    ].flatMap(({ extra_body = {}, ...parameters }: Record<string, unknown>) => {
      const rest = { ...parameters, ...(extra_body as object) };
      return lab.data.map(({ input }) => ({ ...rest, content: promptOf(PLAIN.strategy, input) }));
    });
    const sent = seen.map((body) => {
      const { model: _, stream: __, messages, ...rest } = body;
      return { ...rest, content: (messages as { content: string }[])[0]!.content };
    });
    expect(sent).toHaveLength(8);
    expect(new Set(sent.map((body) => JSON.stringify(sorted(body))))).toEqual(
      new Set(wanted.map((body) => JSON.stringify(sorted(body)))),
    );
    lab.server.behave = undefined;
    const again = await lab.run("run", "config.json");
    expect(again.stderr).toContain("8 reused");
    expect(seen).toHaveLength(8);
    // Another temperature of one perspective is asked for, and nothing else.
    const changed = perspectives.map((one, at) => (at === 1 ? { ...one, model_config: { temperature: 1 } } : one));
    await lab.space.write("config.json", { ...lab.config, agent_perspectives: changed });
    lab.server.behave = ({ body }) => void seen.push(body);
    expect((await lab.run("run", "config.json")).code).toBe(0);
    expect(seen.slice(8).map(({ temperature, max_tokens }) => [temperature, max_tokens])).toEqual([
      [1, 200],
      [1, 200],
    ]);
    lab.expectSound();
  });

  test("sends each perspective its own messages and templates, with the columns of its row, also to notes", async () => {
    const examples = [
      { role: "user", content: "Hallo." },
      { role: "assistant", content: "Hello." },
    ];
    const [, noted] = configFor().agent_perspectives;
    await using lab = await setUp(
      {
        system_prompt: "Be careful.",
        messages: examples,
        prompt_template: "{instruction} ({tone})\n{text}",
        agent_perspectives: [
          { ...PLAIN, system_prompt: null } as typeof PLAIN,
          { ...noted!, messages: null } as typeof PLAIN,
        ],
      },
      2,
    );
    const data = lab.data.map((row, at) => ({ ...row, tone: at === 0 ? "dry" : ["warm", 2] }));
    await lab.space.write("rows.json", data);
    const seen: string[] = [];
    const answers = new Map<string, string>();
    lab.server.behave = (call) => {
      seen.push(JSON.stringify(call.body["messages"]));
      answers.set(seen.at(-1)!, answerTo(call));
      return undefined;
    };
    const result = await lab.run("run", "config.json");
    expect(result.code, result.stderr).toBe(0);
    const system = { role: "system", content: "Be careful." };
    const wanted = data.flatMap(({ input, tone }) => {
      const said = typeof tone === "string" ? tone : JSON.stringify(tone);
      const user = (instruction: string, text: string) => ({
        role: "user",
        content: `${instruction} (${said})\n${text}`,
      });
      const reading = JSON.stringify([system, user(noted!.reading!, input)]);
      return [
        JSON.stringify([...examples, user(PLAIN.strategy, input)]),
        reading,
        JSON.stringify([system, user(noted!.strategy, answers.get(reading) ?? "")]),
      ];
    });
    expect(seen.toSorted()).toEqual(wanted.toSorted());
    lab.expectSound();
  });

  const sorted = (body: object) => Object.entries(body).toSorted(([one], [other]) => (one < other ? -1 : 1));

  test("asks again with a higher limit only where the limit of the perspective is lower", async () => {
    const perspectives = [
      { ...PLAIN, condition: "Short", model_config: { max_tokens: 50 } },
      { ...PLAIN, condition: "Cold", model_config: { temperature: 0 } },
      { ...PLAIN, condition: "Long", model_config: { max_tokens: 600 } },
    ];
    await using lab = await setUp({ agent_perspectives: perspectives }, 2, (_row, { max_tokens }) =>
      max_tokens === 400 ? undefined : { kind: "length" },
    );
    expect((await lab.run("run", "config.json")).code).toBe(0);
    expect(lab.show().run.calls.truncated).toBe(6);
    const refused = await lab.run("resume", "latest", "--retry-truncated", "--max-tokens", "50");
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain("50 tokens are not more than the limit of 50");
    const resumed = await lab.run("resume", "latest", "--retry-truncated", "--max-tokens", "400");
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(lab.show()).toMatchObject({ attempts: 10, run: { calls: { truncated: 2, succeeded: 6 } } });
    // Only these were asked with other parameters than their perspective has.
    expect((await lab.dataset()).metadata["asked_with_other_parameters"]).toEqual([
      { parameters: { max_tokens: 400, temperature: 0.7 }, answers: 2 },
      { parameters: { max_tokens: 400, temperature: 0 }, answers: 2 },
    ]);
    lab.expectSound();
  });

  const otherExecutors = EXECUTORS.filter((name) => name !== executor);

  test.for(otherExecutors)(
    "takes earlier answers, also those of the executor %s, and pays nothing for them",
    async (other) => {
      await using lab = await setUp({}, 3);
      await lab.space.write("other.json", { ...lab.config, executor: other });
      await using _ = other === "queue" ? await workerOf(lab) : null;
      expect((await lab.run("run", "other.json")).code).toBe(0);
      const before = lab.server.served.answers;
      const again = await lab.run("run", "config.json");
      expect(again.code, again.stderr).toBe(0);
      expect(lab.show().run).toMatchObject({ calls: { succeeded: 18, reused: 18 }, cost_usd: 0 });
      expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
      expect(lab.server.served.answers).toBe(before);
      expect((await lab.run("run", "config.json", "--fresh")).code).toBe(0);
      expect(lab.server.served.answers).toBe(2 * before);
      lab.expectSound();
    },
  );

  test("gives strategies earlier answers to the same notes", async () => {
    await using lab = await setUp({}, 2);
    expect((await lab.run("run", "config.json")).code).toBe(0);
    // Readings are asked anew, as another run has them twice.
    await lab.space.write("rows.json", [...lab.data, ...lab.data]);
    const before = lab.server.served.answers;
    const twice = { ...lab.config, data_config: { ...lab.config.data_config, sample_size: 4 } };
    await lab.space.write("config.json", twice);
    expect((await lab.run("run", "config.json")).code).toBe(0);
    const { run } = lab.show();
    expect(run.calls.reused + lab.server.served.answers - before).toBe(24);
    expect(run.calls.reused).toBeGreaterThanOrEqual(12);
    expect((await lab.dataset()).tasks).toEqual([...lab.expected().tasks, ...lab.expected().tasks]);
    lab.expectSound();
  });

  test("gives a resumed run what another run was answered since, with the parameters of each perspective", async () => {
    const [plain, noted] = configFor().agent_perspectives;
    const own = [
      { ...plain!, model_config: { temperature: 0 } },
      { ...noted!, model_config: { seed: 7 } },
    ];
    await using lab = await setUp({ agent_perspectives: own }, 2, () => status(401));
    expect((await lab.run("run", "config.json")).code).toBe(3);
    const { id } = lab.show().run;
    lab.server.behave = undefined;
    expect((await lab.run("run", "config.json")).code).toBe(0);
    const before = lab.server.served.answers;
    const resumed = await lab.run("resume", id);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(lab.server.served.answers).toBe(before);
    expect(resumed.stderr).toContain("6 of 6 succeeded, 6 of them reused");
    lab.expectSound();
  });

  test("never passes the cap, uses what is set aside for more than is charged, and goes on with a higher one", async () => {
    await using lab = await setUp({ agent_perspectives: [PLAIN] }, 40);
    const dearest = (400 * PRICES.input + 200 * PRICES.output) / 1e6;
    const cap = 12 * dearest * FACTOR[executor];
    const result = await lab.run("run", "config.json", "--max-cost", String(cap));
    const sent = lab.show().run.calls.succeeded ?? 0;
    expect(chargedBy(lab.server, FACTOR[executor])).toBeLessThanOrEqual(cap);
    // As many as it would pay for at most could be sent at once; what they did not use pays for more.
    expect(sent).toBeGreaterThan(20);
    if (sent < 40) expect(result.code, result.stderr).toBe(3);
    const resumed = await lab.run("resume", "latest", "--max-cost", "1");
    expect(resumed.code, resumed.stderr).toBe(0);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    expectChargedOnce(lab);
    await expectPriced(lab);
  });

  test("sends nothing where the next request could pass the cap", async () => {
    await using lab = await setUp({ agent_perspectives: [PLAIN], max_cost_usd: 0.000_001 }, 3);
    const result = await lab.run("run", "config.json");
    expect(result.code, result.stderr).toBe(3);
    expect(result.stderr).toMatch(/The cap of \$0\.000001 is reached/);
    expect(lab.server.served.answers).toBe(0);
    expect(lab.server.batchRequests.filter(({ operation }) => operation === "upload")).toEqual([]);
    expect(lab.show().run).toMatchObject({ status: "interrupted", calls: { pending: 3 } });
  });

  test("can be interrupted, exits with 130, and goes on", async () => {
    await using lab = await setUp({ concurrency: 1 }, 3);
    lab.server.behave = ({ index }) => {
      if (index === 2) lab.kill("SIGINT");
      return undefined;
    };
    const { code, stderr } = await lab.start("run", "config.json").done;
    expect(code, stderr).toBe(130);
    expect(stderr).toMatch(/Go on with: datagen resume \w+/);
    const resumed = await lab.run("resume", "latest");
    expect(resumed.code, resumed.stderr).toBe(0);
    expect((await lab.dataset()).tasks).toEqual(lab.expected().tasks);
    expectChargedOnce(lab);
    lab.expectSound();
  });
});
