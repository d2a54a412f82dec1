import { describe, expect, test } from "vitest";
import { PROVIDERS } from "../../src/config/providers.ts";
import { detectProvider, providers } from "../../src/providers/index.ts";
import {
  configFor,
  type ConfigOverrides,
  environmentFor,
  expectedDataset,
  promptOf,
  rows,
  type SpawnOptions,
  startDatagen,
} from "../support/harness.ts";
import { openLab, PLAIN } from "../support/lab.ts";
import type { FakeProvider, Question as FakeQuestion } from "../support/providers/fake-provider.ts";
import { APIS, fakes, REMOTE, type RemoteName } from "../support/providers/index.ts";
import { startRecorder } from "../support/recorder.ts";
import { type LoopbackServer, type ServerOptions, startServer } from "../support/server.ts";

const DAY = "2026-11-25";

/** One call for each row, which asks a provider. */
const asking = (name: RemoteName, more: object = {}): ConfigOverrides => ({
  api_provider: name,
  agent_perspectives: [PLAIN],
  model_config: { model_name: fakes[name].model, ...more },
});

/** A lab whose runs have to succeed. */
async function setUp(config: ConfigOverrides, server: ServerOptions = { keepBodies: true }, inputs = 1) {
  const lab = await openLab({ config, data: rows(inputs), server });
  return {
    ...lab,
    async run(flags: string[] = [], env?: SpawnOptions["env"]) {
      const { code, stderr, run } = await lab.runConfig(flags, env);
      expect(code, stderr).toBe(0);
      return { run: run!, stderr };
    },
  };
}

describe.each(PROVIDERS)("the provider %s", (name) => {
  const info = providers[name];
  const fake: FakeProvider | null | undefined = fakes[name];

  test("is stood in for by the tests where it has a server", () => {
    expect(fake, `${name} is missing in test/support/providers/index.ts`).toBeDefined();
    expect(fake === null).toBe(info.remote === null);
  });

  test("batches what its server batches", () => {
    if (!fake) return;
    const endpoints = fake.batches && Object.values(fake.batches.endpoints);
    expect(info.batches?.endpoints.toSorted()).toEqual(endpoints?.toSorted());
  });

  test("has an address of its own, and variables that no other provider reads", () => {
    if (info.remote === null) return;
    const { defaultBaseUrl, hosts, keyVariable, baseUrlVariable } = info.remote;
    const { protocol, hostname } = new URL(defaultBaseUrl);
    expect([protocol, hosts.includes(hostname)]).toEqual(["https:", true]);
    const remotes = PROVIDERS.flatMap((other) => providers[other].remote ?? []);
    for (const variable of [keyVariable, baseUrlVariable]) {
      const readers = remotes.filter((one) => one.keyVariable === variable || one.baseUrlVariable === variable);
      expect([variable, readers.length]).toEqual([variable, 1]);
    }
    expect(remotes.filter((other) => other.hosts.some((host) => hosts.includes(host)))).toHaveLength(1);
  });

  test("is asked for its model by the model's name, in a chat", () => {
    if (!fake) return;
    expect(detectProvider(fake.model)).toBe(name);
    expect(info.endpointOf(fake.model)).toBe("chat");
  });

  test("has a price for each model that it lists, with its source", async () => {
    for (const { model, prices } of await info.prices.all(DAY)) {
      expect([model, await info.prices.of(model, DAY)]).toEqual([model, prices]);
      expect(prices.source).toMatch(/\w/);
    }
  });
});

describe.concurrent.each(REMOTE)("asked for a dataset, %s", (name) => {
  const { remote } = providers[name];

  test("gives each call its own answer, and is asked with its own key", async () => {
    await using lab = await setUp({ model_config: { model_name: fakes[name].model } }, {}, 3);
    const { run } = await lab.run();
    const { tasks, usage } = expectedDataset(lab.config, lab.data);
    expect(run).toMatchObject({ provider: name, tokens: { ...usage, estimated: false } });
    expect((await lab.dataset()).tasks).toEqual(tasks);
    expect(new Set(lab.server.requests.map(({ authorization }) => authorization))).toEqual(
      new Set([fakes[name].keyHeader(fakes[name].key)[1]]),
    );
    expect(lab.server.strays).toEqual([]);
  });

  test("is asked where a flag says, else the config, else the environment", async () => {
    await using lab = await setUp(asking(name));
    await using configs = await startServer();
    await using flags = await startServer();
    const env = { ...environmentFor(lab.server), DATAGEN_API_KEY: "a-key" };
    const seen = () => [flags, configs, lab.server].map(({ requests }) => requests.length);

    await lab.run([], env);
    expect(seen()).toEqual([0, 0, 1]);

    await lab.space.write("config.json", configFor(asking(name, { base_url: configs[`${name}Url`] })));
    await lab.run([], env);
    expect(seen()).toEqual([0, 1, 1]);

    await lab.run(["--base-url", flags[`${name}Url`]], env);
    expect(seen()).toEqual([1, 1, 1]);
  });

  test("is asked at its own host where nothing says otherwise", async () => {
    await using lab = await setUp(asking(name));
    // It opens no tunnel: nothing leaves this machine.
    await using proxy = await startRecorder();
    await using running = startDatagen(["run", "config.json"], {
      cwd: lab.space.path,
      env: { [remote!.keyVariable]: "a-key", HTTPS_PROXY: proxy.url },
    });
    await Promise.race([proxy.connected, running.done]);
    running.kill("SIGINT");
    expect((await running.done).code).toBe(130);
    expect(new Set(proxy.tunnels)).toEqual(new Set([`${new URL(remote!.defaultBaseUrl).hostname}:443`]));
  });
});

describe.concurrent.each(APIS)("asked through its API, %s, %s:", (name, endpoint) => {
  const ALL = {
    max_tokens: 321,
    temperature: 0.25,
    top_p: 0.5,
    seed: 0,
    stop: ["END", "\n\nTHE END"],
    frequency_penalty: -0.5,
    presence_penalty: 1.5,
    reasoning_effort: "low",
  };
  const EXTRA = { top_k: 40, repetition_penalty: 1.1, nested: { list: [1, null, "Grün"], off: false } };
  const { model, refused } = fakes[name];
  const plain = [{ role: "user", content: promptOf(PLAIN.strategy, rows(1)[0]!.input) }] as const;
  /** The body that must arrive; whether it is spelt out or left out, no answer is streamed. */
  const wanted = (messages: FakeQuestion["messages"], parameters: FakeQuestion["parameters"]) => ({
    stream: false,
    ...fakes[name].body({ endpoint, model, messages, parameters }),
  });
  const came = (server: LoopbackServer) => server.requests.map(({ body }) => ({ stream: false, ...body }));

  test("all parameters arrive as they are configured, extra_body among them", async () => {
    await using lab = await setUp(asking(name, { endpoint, ...ALL, extra_body: EXTRA }));
    const { stderr } = await lab.run();
    const parameters = Object.fromEntries(Object.entries(ALL).filter(([key]) => !refused.includes(key)));
    expect(came(lab.server)).toEqual([wanted(plain, { ...parameters, extra_body: EXTRA })]);
    const [request] = lab.server.requests;
    expect(request?.path).toBe(`/${name}${fakes[name].base}${fakes[name].path(endpoint, model)}`);
    if (refused.length === 0) expect(stderr).not.toContain("does not take");
    else expect(stderr).toContain(`${model} does not take ${refused.join(", ")}: not sent`);
  });

  test("a system prompt and examples arrive before the prompt, or are refused where there is one text only", async () => {
    const around = {
      system_prompt: "Be careful.",
      messages: [
        { role: "user", content: "Hallo." },
        { role: "assistant", content: "Hello." },
      ],
      prompt_template: "{text}\n\n{instruction}",
    };
    await using lab = await setUp({ ...asking(name, { endpoint }), ...around });
    if (endpoint === "completions") {
      const { code, stderr } = await lab.datagen("run", "config.json");
      expect(code).toBe(2);
      for (const key of ["system_prompt", "messages"]) expect(stderr).toContain(`${key}: the endpoint completions`);
      expect(lab.server.requests).toEqual([]);
      return;
    }
    await lab.run();
    const messages = [
      { role: "system", content: around.system_prompt },
      ...around.messages,
      { role: "user", content: `${rows(1)[0]!.input}\n\n${PLAIN.strategy}` },
    ] as FakeQuestion["messages"];
    const { max_tokens, temperature } = configFor().model_config;
    expect(came(lab.server)).toEqual([wanted(messages, { max_tokens, temperature })]);
  });

  test("nothing is sent that is not configured, and max_completion_tokens keeps its name", async () => {
    const none = { max_tokens: undefined, temperature: undefined };
    await using lab = await setUp(asking(name, { endpoint, ...none }));
    await lab.run();
    await lab.space.write("config.json", configFor(asking(name, { endpoint, ...none, max_completion_tokens: 64 })));
    const { stderr } = await lab.run();
    expect(came(lab.server)).toEqual([wanted(plain, {}), wanted(plain, { max_completion_tokens: 64 })]);
    expect(stderr).not.toContain("does not take");
  });

  test("each answer finds its place in the dataset", async () => {
    await using lab = await setUp({
      ...asking(name, { endpoint }),
      agent_perspectives: configFor().agent_perspectives,
    });
    const { run } = await lab.run();
    const { tasks, usage } = expectedDataset(lab.config, lab.data);
    expect((await lab.dataset()).tasks).toEqual(tasks);
    expect(run.tokens).toEqual({ ...usage, estimated: false });
  });
});
