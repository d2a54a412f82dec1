import { expect, test } from "vitest";
import { configFor, datagen, promptOf } from "./support/harness.ts";
import { openLab, PLAIN } from "./support/lab.ts";
import { fakes, REMOTE, type RemoteName } from "./support/providers/index.ts";

const MODELS: Record<string, string> = {
  openai: "gpt-4o-mini",
  anthropic: "claude-haiku-4-5",
  gemini: "gemini-2.5-flash",
  together: "meta-llama/Llama-3.3-70B-Instruct-Turbo",
};

const SYSTEM = "Be exact.";

test("one config asks models of four providers, each in its own way, and gives a dataset of each", async () => {
  const data = [{ input: "Guten Morgen." }, { input: "Gute Nacht." }];
  await using lab = await openLab({ data, server: { keepBodies: true } });
  const { model_config: parameters, ...config } = configFor({ agent_perspectives: [PLAIN], system_prompt: SYSTEM });
  await lab.space.write("config.json", {
    ...config,
    model_config: Object.values(MODELS).map((name) => ({ ...parameters, model_name: name })),
  });
  const { code, stdout, stderr } = await lab.datagen("run", "config.json", "--json");
  expect(code, stderr).toBe(0);
  const { experiment, runs } = JSON.parse(stdout) as {
    experiment: string;
    runs: { run: { model: string }; dataset: string }[];
  };
  expect(runs.map(({ run }) => run.model)).toEqual(Object.values(MODELS));
  for (const { run, dataset } of runs) {
    const { metadata, tasks } = await lab.space.json<Record<"metadata" | "tasks", unknown>>(dataset);
    expect(metadata).toMatchObject({ model_config: { model_name: run.model } });
    const response: unknown = expect.stringMatching(/./);
    expect(tasks).toMatchObject(data.map(({ input }) => ({ context: input, responses: [response] })));
  }

  const user = promptOf(PLAIN.strategy, "Guten Morgen.");
  const sampling = { max_tokens: 200, temperature: 0.7 };
  const messages = [{ role: "user", content: user }];
  const chat = { messages: [{ role: "system", content: SYSTEM }, ...messages], ...sampling, stream: false };
  const bodies: Record<RemoteName, object> = {
    openai: { model: MODELS["openai"], ...chat },
    anthropic: { model: MODELS["anthropic"], system: SYSTEM, messages, ...sampling, stream: false },
    gemini: {
      systemInstruction: { parts: [{ text: SYSTEM }] },
      contents: [{ role: "user", parts: [{ text: user }] }],
      generationConfig: { maxOutputTokens: 200, temperature: 0.7 },
    },
    together: { model: MODELS["together"], ...chat },
  };
  for (const name of REMOTE) {
    const asked = lab.server.requests.filter(({ provider }) => provider === name);
    const key = fakes[name].keyHeader(fakes[name].key)[1];
    expect(asked.map(({ model, authorization }) => [model, authorization])).toEqual(
      data.map(() => [MODELS[name], key]),
    );
    expect(asked.map(({ body }) => body)).toContainEqual(bodies[name]);
  }

  // All keys that are missing are named at once, each with the first model that needs it.
  for (const command of [["run", "--fresh"], ["check"]]) {
    const bare = await datagen([...command, "config.json"], { cwd: lab.space.path, env: {} });
    expect([bare.code, bare.stdout]).toEqual([2, ""]);
    expect(bare.stderr).toMatch(
      /^Error: OPENAI_API_KEY is not set.*gpt-4o-mini\nANTHROPIC_API_KEY is.*\nGEMINI_API_KEY is.*\nTOGETHER_API_KEY is.*\nSet them in/,
    );
  }

  const resumed = await lab.datagen("resume", experiment, "--json");
  expect(resumed.code, resumed.stderr).toBe(0);
  expect(lab.server.requests).toHaveLength(Object.keys(MODELS).length * data.length);
});
