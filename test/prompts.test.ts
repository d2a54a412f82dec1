import { once } from "node:events";
import { rm } from "node:fs/promises";
import { Tiktoken } from "js-tiktoken/lite";
import o200k from "js-tiktoken/ranks/o200k_base";
import { describe, expect, test, vi } from "vitest";
import type { Preview } from "../src/app/estimate/preview-run.ts";
import { createReservations } from "../src/execute/cap.ts";
import type { Estimate } from "../src/estimate/estimate.ts";
import { type ConfigOverrides, rows } from "./support/harness.ts";
import { openLab } from "./support/lab.ts";
import { parseConfig } from "../src/config/parse.ts";
import { sourceWriters } from "./support/sources/index.ts";
import { answerTo, type IncomingCall } from "./support/server.ts";

/*
 * What the model is sent. The first part is a second implementation of docs/prompts.md, which shares no code with the
 * program: it says what every body must be.
 */

interface Message {
  role: string;
  content: string;
}

type Template = string | { reading?: string; strategy?: string } | null;

interface Around {
  system_prompt?: string | null;
  messages?: Message[] | null;
  prompt_template?: Template;
}

interface AskedPerspective extends Around {
  condition: string;
  reading: string | null;
  strategy: string;
  model_config?: Record<string, unknown>;
}

interface PromptConfig extends Around {
  model_config: Record<string, unknown>;
  agent_perspectives: AskedPerspective[];
}

/** A row of the inputs, with any columns. */
type DataRow = { input: string; reference?: string } & Record<string, unknown>;

/** The body of a request. */
type Body = Record<string, unknown>;

function columnOf(row: DataRow, name: string): unknown {
  if (name in row) return row[name];
  return name.split(".").reduce<unknown>((at, part) => (at as Record<string, unknown>)[part], row);
}

/** Walks through a template one character at a time. */
function rendered(template: string, row: DataRow, instruction: string, text: string): string {
  const said = (value: unknown) => (typeof value === "string" ? value : JSON.stringify(value));
  let result = "";
  for (let at = 0; at < template.length; at += 1) {
    const here = template[at]!;
    if (here === "}" || (here === "{" && template[at + 1] === "{")) {
      result += here;
      at += 1;
    } else if (here === "{") {
      const end = template.indexOf("}", at);
      const name = template.slice(at + 1, end);
      at = end;
      if (name === "instruction") result += instruction;
      else if (name === "text") result += text;
      else if (name === "input") result += row.input;
      else if (name === "reference") result += row.reference;
      else result += said(columnOf(row, name.replace(/^row\./, "")));
    } else {
      result += here;
    }
  }
  return result;
}

const USUAL = "{instruction}\n\n```{text}```{instruction}\n\n";

/** The body of the request for a step of a perspective. */
function bodyFor(
  config: PromptConfig,
  perspective: AskedPerspective,
  row: DataRow,
  notes: string | null,
  step: "reading" | "strategy",
): Body {
  const pick = <Name extends keyof Around>(name: Name) => (name in perspective ? perspective[name] : config[name]);
  const system = pick("system_prompt");
  const messages = pick("messages");
  const given = pick("prompt_template");
  const template = (typeof given === "string" ? given : given?.[step]) ?? USUAL;
  const instruction = step === "reading" ? perspective.reading! : perspective.strategy;
  const content = rendered(template, row, instruction, step === "strategy" && notes ? notes : row.input);
  const { model_name: model, ...common } = config.model_config;
  const parameters = { ...common, ...perspective.model_config };
  for (const name of Object.keys(parameters)) if (parameters[name] === null) delete parameters[name];
  return {
    model,
    ...parameters,
    messages: [
      ...(system ? [{ role: "system", content: system }] : []),
      ...(messages ?? []),
      { role: "user", content },
    ],
  };
}

/** JSON that does not depend on the order of members. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inside: unknown) =>
    typeof inside === "object" && inside !== null && !Array.isArray(inside)
      ? Object.fromEntries(Object.entries(inside).toSorted(([one], [other]) => (one < other ? -1 : 1)))
      : inside,
  );
}

function bodyOf({ body }: Pick<IncomingCall, "body">): string {
  const { stream: _, ...sent } = body;
  return canonical(sent);
}

/** Every body that a config needs for some rows, and what the dataset must say; `answers` are those of the server. */
function expectedOf(config: PromptConfig, data: DataRow[], answers: ReadonlyMap<string, string>) {
  const bodies: string[] = [];
  const ask = (body: Body) => {
    bodies.push(canonical(body));
    return answers.get(canonical(body)) ?? null;
  };
  const tasks = data.map((row) => {
    const cells = config.agent_perspectives.map((perspective) => {
      const notes = perspective.reading === null ? null : ask(bodyFor(config, perspective, row, null, "reading"));
      return [notes, ask(bodyFor(config, perspective, row, notes, "strategy"))] as const;
    });
    return {
      preparations: cells.map(([notes]) => notes),
      responses: cells.map(([, response]) => response),
    };
  });
  return { bodies, tasks };
}

const EXAMPLES: Message[] = [
  { role: "user", content: "Guten Morgen." },
  { role: "assistant", content: "Good morning." },
];

/** Three perspectives: one plain, one that overrides, and one with notes. */
const OVERRIDES = {
  system_prompt: "You are a careful translator. {Braces} stay.",
  messages: EXAMPLES,
  prompt_template: 'Answer as {{"text": …}}, in a {register} register for {meta.reader}.\n{instruction}\n---\n{text}',
  agent_perspectives: [
    {
      condition: "Faithful",
      reading: null,
      strategy: "Translate {this} faithfully.",
      model_config: { temperature: 0 },
    },
    {
      condition: "Loose",
      reading: null,
      strategy: "Translate it loosely.",
      system_prompt: null,
      model_config: { temperature: 1, max_tokens: null, seed: 3 },
    },
    {
      condition: "From notes",
      reading: "Take notes.",
      strategy: "Write what the notes say.",
      messages: null,
      prompt_template: {
        strategy: "{instruction}\n{text}\n(The source: {input}; a human wrote: {reference}; {row.text})",
      },
    },
  ],
} satisfies Partial<PromptConfig> & ConfigOverrides;

/** So many rows; every third is of another split. */
function dataRows(count: number): DataRow[] {
  return rows(count).map(({ input, reference }, at) => ({
    input,
    reference: reference!,
    split: at % 3 === 2 ? "train" : "test",
    register: ["formal", "plain", "poetic"][at % 3]!,
    meta: { reader: at % 2 === 0 ? "children" : { age: at, tags: ["a", null] } },
    text: at / 4,
  }));
}

const jsonLines = (data: readonly unknown[]) => data.map((row) => `${JSON.stringify(row)}\n`).join("");
const ofTest = (data: readonly DataRow[]) => data.filter(({ split }) => split === "test");

/** A lab whose server remembers every body and its answer. */
async function promptLab(overrides: ConfigOverrides = {}, count = 15) {
  const data = dataRows(count);
  const lab = await openLab({
    config: {
      ...OVERRIDES,
      ...overrides,
      concurrency: 3,
      data_config: { input_data_path: "rows.jsonl", where: { split: "test" }, ...overrides.data_config },
    },
    server: { latency: 8 },
  });
  const answers = new Map<string, string>();
  const bodies: string[] = [];
  lab.server.behave = (call) => {
    answers.set(bodyOf(call), answerTo(call));
    bodies.push(bodyOf(call));
    return undefined;
  };
  await lab.space.write("rows.jsonl", jsonLines(data));
  return {
    ...lab,
    config: lab.config as unknown as PromptConfig,
    rows: data,
    answers,
    bodies,
    async json<T>(...args: string[]): Promise<T> {
      const { code, stdout, stderr } = await lab.datagen(...args, "--json");
      expect(code, stderr).toBe(0);
      return JSON.parse(stdout) as T;
    },
    async succeed(...args: string[]) {
      const result = await lab.datagen(...args);
      expect(result.code, result.stderr).toBe(0);
      return result;
    },
  };
}

type PromptLab = Awaited<ReturnType<typeof promptLab>>;

/** Runs the command until the server has so many requests, and kills it. */
async function killed(lab: PromptLab, requests: number, ...args: string[]): Promise<void> {
  await using running = lab.start(...args);
  await vi.waitFor(() => expect(lab.bodies.length).toBeGreaterThanOrEqual(requests), { timeout: 30_000, interval: 2 });
  running.kill();
  await once(running.child, "close");
}

describe.concurrent("what the model is sent", () => {
  test("is what the config says, whole, however often the run is killed, and is never paid for twice", async () => {
    await using lab = await promptLab({ data_config: { input_data_path: "rows.parquet" } });
    // All values of a column have one type there.
    const data = lab.rows.map((row, at) => ({ ...row, meta: { reader: `reader ${at}`, tags: "[]" } }));
    await lab.space.write("rows.parquet", sourceWriters.parquet.write(data));
    const preview = await lab.json<Preview>("preview", "config.json", "--inputs", "2");
    await killed(lab, 9, "run", "config.json");
    // What the prompts use of the rows is stored.
    await rm(lab.space.at("rows.parquet"));
    await killed(lab, 22, "resume", "latest");
    await lab.succeed("resume", "latest", "--output", "dataset.json");

    const { bodies, tasks } = expectedOf(lab.config, ofTest(data), lab.answers);
    expect(bodies).toHaveLength(40);
    expect(new Set(lab.bodies)).toEqual(new Set(bodies));
    // A kill may lose only what is in flight.
    expect(lab.bodies.length).toBeLessThanOrEqual(40 + 2 * 3);
    const dataset = await lab.dataset();
    expect(dataset.tasks.map(({ responses, preparations }) => ({ preparations, responses }))).toEqual(tasks);

    const previewed = preview.inputs.flatMap(({ calls }) => calls.map(({ messages }) => canonical(messages)));
    const sent = bodies.map((body) => canonical((JSON.parse(body) as { messages: Message[] }).messages));
    expect(previewed.filter((messages) => !messages.includes("[notes]")).every((one) => sent.includes(one))).toBe(true);
    const shown = await lab.json<{ answers: { prompts: { messages: Message[]; is_as_sent: boolean }[] }[] }>(
      "show",
      "latest",
      "--prompt",
    );
    const prompts = shown.answers.flatMap((answer) => answer.prompts);
    expect(prompts.map(({ messages }) => canonical(messages))).toEqual(sent.slice(0, 4));
    expect(prompts.every(({ is_as_sent: isAsSent }) => isAsSent)).toBe(true);

    const before = lab.bodies.length;
    await lab.space.write("rows.parquet", sourceWriters.parquet.write(data));
    await lab.succeed("run", "config.json");
    expect(lab.bodies).toHaveLength(before);

    // One value of one row is in two prompts: the notes do not depend on it.
    const changed = data.map((row, at) => (at === 4 ? { ...row, register: "rude" } : row));
    await lab.space.write("rows.parquet", sourceWriters.parquet.write(changed));
    const { stderr } = await lab.succeed("run", "config.json", "--output", "changed.json");
    expect(stderr).toMatch(/has changed since run \w+: of 10 inputs, 1 have changed, 0 were not in that run/);
    const known = new Set(bodies);
    const wanted = expectedOf(lab.config, ofTest(changed), lab.answers).bodies.filter((body) => !known.has(body));
    expect(wanted).toHaveLength(2);
    expect(lab.bodies.slice(before).toSorted()).toEqual(wanted.toSorted());
    expect(await lab.succeed("db", "check")).toMatchObject({ code: 0 });
  });

  test("is in an exported dataset, and an import of it reuses every answer in another database", async () => {
    await using lab = await promptLab({}, 6);
    await lab.succeed("run", "config.json", "--output", "dataset.json");
    const dataset = await lab.space.json<Record<string, unknown> & { tasks: Record<string, unknown>[] }>(
      "dataset.json",
    );
    const { system_prompt, messages, prompt_template } = OVERRIDES;
    expect(dataset).toMatchObject({ system_prompt, messages, prompt_template });
    expect(dataset["agent_perspectives"]).toEqual(OVERRIDES.agent_perspectives);
    const [first] = ofTest(lab.rows);
    expect(dataset.tasks[0]).toMatchObject({
      context: first!.input,
      reference: first!.reference,
      columns: { register: first!["register"], "meta.reader": "children", text: 0 },
    });
    const sent = lab.bodies.length;
    await lab.succeed("import", "dataset.json", "--db", "other.db");
    await lab.succeed("run", "config.json", "--db", "other.db", "--output", "again.json");
    expect(lab.bodies).toHaveLength(sent);
    await lab.succeed("export", "latest", "--db", "other.db", "--output", "exported.json");
    expect((await lab.space.json<typeof dataset>("exported.json")).tasks).toEqual(dataset.tasks);

    // Half a character in a column is named, and replaced where that is wanted.
    await lab.space.write("rows.jsonl", jsonLines([{ ...lab.rows[0]!, register: "\ud800" }]));
    await lab.succeed("run", "config.json", "--output", "half.json");
    const { stderr } = await lab.succeed("export", "latest", "--replace-surrogates", "--output", "half.json");
    expect(stderr).toContain("the columns of task 0");
    const half = await lab.space.json<typeof dataset>("half.json");
    expect(half.tasks[0]!["columns"]).toMatchObject({ register: "\ufffd" });

    delete (dataset.tasks[1]!["columns"] as Record<string, unknown>)["register"];
    await lab.space.write("broken.json", dataset);
    const refused = await lab.datagen("import", "broken.json", "--db", "third.db");
    expect(refused.code).toBe(2);
    expect(refused.stderr).toContain('tasks[1] has no value of "register", which prompt_template uses');
    // A name that every object of the language has.
    await lab.space.write("broken.json", { ...dataset, prompt_template: "{constructor} {text}" });
    const nameless = await lab.datagen("import", "broken.json", "--db", "third.db");
    expect(nameless.stderr).toContain('tasks[0] has no value of "constructor"');
  });

  test("is the same for the printed config and inputs of a run, and for shards that are merged", async () => {
    await using lab = await promptLab({}, 6);
    await lab.succeed("run", "config.json", "--output", "dataset.json");
    const sent = lab.bodies.length;
    const config = await lab.json<{ data_config: object }>("runs", "config", "latest");
    const { where: _, ...data } = config.data_config as Record<string, unknown>;
    await lab.space.write("again.json", { ...config, data_config: { ...data, input_data_path: "printed.jsonl" } });
    await lab.space.write("printed.jsonl", (await lab.succeed("runs", "inputs", "latest")).stdout);
    await lab.succeed("run", "again.json", "--output", "again-dataset.json");
    expect(lab.bodies).toHaveLength(sent);

    await lab.succeed("run", "config.json", "--shard", "1/2", "--db", "one.db", "--no-export");
    await lab.succeed("run", "config.json", "--shard", "2/2", "--db", "two.db", "--no-export");
    expect(lab.bodies.slice(sent).toSorted()).toEqual(lab.bodies.slice(0, sent).toSorted());
    await lab.succeed("db", "merge", "two.db", "--db", "one.db");
    await lab.succeed("export", "latest", "--db", "one.db", "--output", "merged.json");
    const tasksOf = async (name: string) => (await lab.space.json<{ tasks: unknown[] }>(name)).tasks;
    expect(await tasksOf("merged.json")).toEqual(await tasksOf("dataset.json"));
    expect((await lab.succeed("db", "check", "--db", "one.db")).code).toBe(0);
  });

  test("reaches reasoning models of OpenAI with a developer message, under the same key", async () => {
    const config = { model_config: { model_name: "gpt-5-mini" }, api_provider: "openai" };
    await using lab = await promptLab({ ...config, agent_perspectives: [OVERRIDES.agent_perspectives[0]!] }, 2);
    const { stderr } = await lab.succeed("run", "config.json", "--output", "dataset.json");
    expect(stderr).toContain("gpt-5-mini does not take temperature: not sent");
    const roles = lab.bodies.map((body) =>
      (JSON.parse(body) as { messages: Message[] }).messages.map(({ role }) => role),
    );
    expect(roles).toEqual([
      ["developer", "user", "assistant", "user"],
      ["developer", "user", "assistant", "user"],
    ]);
    expect(JSON.stringify(await lab.space.json("dataset.json"))).not.toContain("developer");
    await lab.succeed("import", "dataset.json", "--db", "other.db");
    await lab.succeed("run", "config.json", "--db", "other.db", "--no-export");
    expect(lab.bodies).toHaveLength(2);
  });

  test("is estimated within 1%, with system prompts, examples, templates and long columns", async () => {
    const long = "Ein langer Absatz über die Straße nach Köln, über Äpfel und „Sträuße“. ".repeat(400);
    await using lab = await promptLab();
    const data = lab.rows.map((row, at) => ({ ...row, register: at % 2 === 0 ? long : "plain" }));
    await lab.space.write("rows.jsonl", jsonLines(data));
    const { steps } = await lab.json<Estimate>("estimate", "config.json");
    const tokenizer = new Tiktoken(o200k);
    const tokensOf = (body: Body) =>
      (body["messages"] as Message[]).reduce((sum, { content }) => sum + 4 + tokenizer.encode(content).length, 3);
    const counted = (position: number, step: "reading" | "strategy") =>
      ofTest(data).reduce((sum, row) => {
        const perspective = lab.config.agent_perspectives[position]!;
        return sum + tokensOf(bodyFor(lab.config, perspective, row, null, step));
      }, 0);
    // The notes of the last one do not exist yet.
    for (const [at, [position, step]] of (
      [
        [0, "strategy"],
        [1, "strategy"],
        [2, "reading"],
      ] as const
    ).entries()) {
      const { prompt_tokens: tokens } = steps[at]!;
      expect(Math.abs(tokens.expected / counted(position, step) - 1)).toBeLessThan(0.01);
      expect([tokens.low, tokens.high]).toEqual([tokens.expected, tokens.expected]);
    }
    // After a run it is known how long notes are; what else their prompts have of the row is counted.
    await lab.succeed("run", "config.json", "--no-export");
    const again = await lab.json<Estimate>("estimate", "config.json", "--fresh");
    const { prompt_tokens: onNotes, basis } = again.steps[3]!;
    const { tasks } = expectedOf(lab.config, ofTest(data), lab.answers);
    const withNotes = (notesOf: (at: number) => string) =>
      ofTest(data).reduce((sum, row, at) => {
        const perspective = lab.config.agent_perspectives[2]!;
        return sum + tokensOf(bodyFor(lab.config, perspective, row, notesOf(at), "strategy"));
      }, 0);
    expect(basis.level).toBe("instruction");
    expect(onNotes.expected).toBeGreaterThanOrEqual(withNotes(() => "."));
    expect(onNotes.expected).toBeLessThan(withNotes((at) => tasks[at]!.preparations[2]!) * 1.2);
  });
});

const WHOLE = {
  task_type: "t",
  task_description: "d",
  model_config: { model_name: "gpt-4o-mini" },
  data_config: { input_data_path: "rows.jsonl" },
};
const PLAIN = { condition: "Plain", strategy: "Say it." };
const SYSTEM = { role: "system", content: "Be kind." };
const perspective = (more: object, at = 0) => ({ ...PLAIN, condition: `P${at}`, ...more });

/** What is wrong with a config, and its sentence. */
const BROKEN: [config: object, ...problems: string[]][] = [
  [{ system_prompt: "" }, 'system_prompt: expected a text for the model, a non-empty string, or null, found ""'],
  [{ system_prompt: ["Be kind."] }, "system_prompt: expected a text for the model, a non-empty string, or null, found"],
  [{ messages: [] }, "messages: expected an array of at least one {role, content}, or null, found []"],
  [{ messages: "Hallo" }, 'messages: expected an array of at least one {role, content}, or null, found "Hallo"'],
  [
    { messages: [{ role: "developer", content: "x" }] },
    'messages[0].role: expected one of "user", "assistant", or "system" for the first message, found "developer"',
  ],
  [{ messages: [{ role: "user" }] }, "messages[0].content: missing; expected the text of the message"],
  [{ messages: [{ role: "user", content: null }] }, "messages[0].content: expected the text of the message"],
  [
    { messages: [{ role: "user", content: "x", name: "y" }] },
    "messages[0].name: unknown key; the keys here are role, content",
  ],
  [
    { messages: [{ role: "user", content: "x" }, SYSTEM] },
    'messages[1].role: expected "user" or "assistant", because only the first message may be "system"',
  ],
  [
    { system_prompt: "x", messages: [SYSTEM] },
    "messages: expected one system message, but system_prompt has another; null removes one of them",
  ],
  [
    { messages: [SYSTEM], agent_perspectives: [perspective({ system_prompt: "x" })] },
    "agent_perspectives[0].system_prompt: expected one system message, but messages of the config has another",
  ],
  [
    { system_prompt: "x", agent_perspectives: [perspective({ messages: [SYSTEM] })] },
    "agent_perspectives[0].messages: expected one system message, but system_prompt of the config has another",
  ],
  [{ prompt_template: "" }, "prompt_template: expected a template, a non-empty string"],
  [{ prompt_template: {} }, "prompt_template: expected a template for reading or strategy, found {}"],
  [{ prompt_template: { strategie: "x" } }, 'prompt_template.strategie: unknown key; did you mean "strategy"?'],
  [
    { prompt_template: "{instruction}\n{text" },
    "prompt_template: line 2 of the text has a { that is not closed in the line; {{ and }} are braces",
  ],
  [{ prompt_template: "{text} }" }, "prompt_template: line 1 of the text has a } that closes nothing"],
  [{ prompt_template: "{} {text}" }, "prompt_template: line 1 of the text has {} without the name of a value"],
  [{ prompt_template: { strategy: "{row.}" } }, "prompt_template.strategy: line 1 of the text has {row.} without"],
  [
    { agent_perspectives: [perspective({ prompt_template: { reading: "{text}" } })] },
    "agent_perspectives[0].prompt_template.reading: expected none, because the perspective has no reading",
  ],
  [
    { model_config: { model_name: "m", endpoint: "completions" }, system_prompt: "x" },
    "system_prompt: the endpoint completions takes one text, without a system prompt or messages before it",
  ],
  [
    {
      model_config: { model_name: "m", endpoint: "completions" },
      agent_perspectives: [perspective({ messages: [{ role: "user", content: "x" }] })],
    },
    "agent_perspectives[0].messages: the endpoint completions takes one text",
  ],
  [
    { agent_perspectives: [perspective({ model_config: { temperature: 3 } })] },
    "agent_perspectives[0].model_config.temperature: expected a number from 0 to 2, found 3",
  ],
  [
    { agent_perspectives: [perspective({ model_config: { model_name: "other" } })] },
    "agent_perspectives[0].model_config.model_name: unknown key",
  ],
  [
    {
      model_config: { model_name: "m", max_tokens: 5 },
      agent_perspectives: [perspective({ model_config: { max_completion_tokens: 9 } })],
    },
    "agent_perspectives[0].model_config.max_completion_tokens: expected either max_tokens or max_completion_tokens, because both set the same limit; model_config has max_tokens, which null removes here",
  ],
  [
    { agent_perspectives: [perspective({ model_config: { extra_body: { max_new_tokens: "many" } } })] },
    "agent_perspectives[0].model_config.extra_body.max_new_tokens: expected a whole number",
  ],
];

describe.concurrent("a file that states its columns", () => {
  const texts = (data: readonly DataRow[]) =>
    data.map(({ input, reference, split, register }) => ({ input, reference, split, register }));
  const csv = (data: readonly object[]) =>
    [Object.keys(data[0]!), ...data.map((row) => Object.values(row))]
      .map((cells) => cells.map((cell) => `"${String(cell ?? "").replaceAll('"', '""')}"`).join())
      .join("\n");
  const config = {
    prompt_template: "In a {register} register: {text} ({reference})",
    agent_perspectives: OVERRIDES.agent_perspectives.slice(0, 2),
  };

  test("makes the same calls as one of JSON with the same texts", async () => {
    await using lab = await promptLab(config, 6);
    await lab.space.write("rows.jsonl", jsonLines(texts(lab.rows)));
    await lab.succeed("run", "config.json", "--no-export");
    expect(lab.bodies).toHaveLength(8);
    await lab.space.write("rows.csv", csv(texts(lab.rows)));
    const data_config = { input_data_path: "rows.csv", where: { split: "test" } };
    await lab.space.write("config.json", { ...lab.config, data_config });
    await lab.succeed("run", "config.json", "--no-export");
    expect(lab.bodies).toHaveLength(8);
  });

  test("is refused at once where it lacks a column, and by the row where a cell is empty", async () => {
    await using lab = await promptLab({ ...config, data_config: { input_data_path: "rows.csv" } }, 2);
    await lab.space.write(
      "rows.csv",
      csv(texts(lab.rows).map(({ input, reference, split }) => ({ input, reference, split }))),
    );
    const missing = await lab.datagen("run", "config.json");
    expect(missing.code).toBe(2);
    expect(missing.stderr).toContain('rows.csv has no column "register"; it has "input", "reference", "split"');
    expect(missing.stderr).toContain("A name in braces in prompt_template is a column");
    await lab.space.write("rows.csv", csv(texts(lab.rows).map((row, at) => ({ ...row, register: ["plain", ""][at] }))));
    const empty = await lab.datagen("run", "config.json");
    expect(empty.code).toBe(2);
    expect(empty.stderr).toContain('row 1 (line 3) has no value of "register", which prompt_template uses');
    expect(lab.bodies).toEqual([]);
  });
});

test("a random sample has the columns of its own rows", async () => {
  await using lab = await promptLab({
    agent_perspectives: OVERRIDES.agent_perspectives.slice(0, 2),
    data_config: { shuffle: true, sample_size: 4 },
  });
  await lab.succeed("run", "config.json", "--no-export");
  const { bodies } = expectedOf(lab.config, ofTest(lab.rows), lab.answers);
  expect(new Set(lab.bodies).size).toBe(8);
  expect(lab.bodies.every((body) => bodies.includes(body))).toBe(true);
});

test("whole numbers of any length keep their digits", async () => {
  const column = "12345678901234567890";
  await using lab = await promptLab({
    prompt_template: "{post} {meta} {score}: {text}",
    agent_perspectives: [OVERRIDES.agent_perspectives[0]!],
    data_config: { where: { post: column } },
  });
  const rowOf = (post: string) =>
    `{"id":${post},"input":"Eins.","post": ${post} ,"meta":{"posts":[-${post},1234567890123456]},"score":0.12345678901234567}\n`;
  await lab.space.write("rows.jsonl", rowOf(column) + rowOf("12345678901234567891"));
  await lab.succeed("run", "config.json", "--output", "dataset.json");
  expect(lab.bodies).toHaveLength(1);
  expect(JSON.parse(lab.bodies[0]!)).toMatchObject({
    messages: [
      {},
      {},
      {},
      { content: `${column} {"posts":["-${column}",1234567890123456]} 0.12345678901234566: Eins.` },
    ],
  });
  expect((await lab.dataset()).tasks[0]).toMatchObject({ id: column });
});

test("printed inputs say where a column has the name of another one", async () => {
  await using lab = await promptLab({
    prompt_template: "{row.input}: {text}",
    agent_perspectives: [OVERRIDES.agent_perspectives[0]!],
    data_config: { fields: { input: "article" } },
  });
  await lab.space.write("rows.jsonl", jsonLines([{ article: "Der Artikel.", input: "Frage", split: "test" }]));
  await lab.succeed("run", "config.json", "--no-export");
  expect(lab.bodies[0]).toContain("Frage: Der Artikel.");
  const { stderr } = await lab.succeed("runs", "inputs", "latest");
  expect(stderr).toContain("prompts use the columns input of the file, but here these names have the values that");
});

describe("a config whose prompts are wrong", () => {
  test.each(BROKEN)("%j is refused", (broken, ...problems) => {
    const config = { ...WHOLE, agent_perspectives: [PLAIN], ...broken };
    let message = "";
    try {
      parseConfig(config);
    } catch (error) {
      message = (error as Error).message;
    }
    for (const problem of problems) expect(message).toContain(problem);
    expect(message).toMatch(/^the config has 1 error:/);
  });

  test("has all its errors listed at once", async () => {
    // The errors of the values of one perspective each, in one config.
    const ofPerspectives = BROKEN.filter(
      ([{ agent_perspectives: own = [], ...rest }]: [{ agent_perspectives?: object[] }, ...string[]]) =>
        own.length === 1 && Object.keys(rest).length === 0,
    );
    const perspectives = ofPerspectives.map(([broken], at) =>
      perspective({ ...(broken as { agent_perspectives: object[] }).agent_perspectives[0], condition: `P${at}` }),
    );
    await using lab = await promptLab({
      agent_perspectives: perspectives,
      system_prompt: "",
      messages: [{ role: "user", content: "x" }, SYSTEM],
      prompt_template: "{text",
    });
    const { code, stderr } = await lab.datagen("run", "config.json");
    expect(code).toBe(2);
    const wanted = ofPerspectives.map(([, problem], at) => problem!.replace("[0]", `[${at}]`));
    for (const problem of [
      ...wanted,
      "system_prompt: expected",
      "messages[1].role: expected",
      "prompt_template: line 1",
    ]) {
      expect(stderr).toContain(problem);
    }
    expect(wanted.length).toBeGreaterThanOrEqual(4);
    expect(stderr).toContain(`config.json has ${wanted.length + 3} errors:`);
    expect(lab.bodies).toEqual([]);
  });
});

describe.concurrent("a row whose values a prompt lacks", () => {
  /** Stands for a number that JSON can say, and that is read as infinity. */
  const TOO_LARGE = "a number that is too large";
  const refused = async (row: object, template: string) => {
    await using lab = await promptLab({
      agent_perspectives: [OVERRIDES.agent_perspectives[0]!],
      prompt_template: template,
    });
    const [first] = lab.rows;
    const written = jsonLines([first, { ...first, ...row }]).replaceAll(JSON.stringify(TOO_LARGE), "1e999");
    await lab.space.write("rows.jsonl", written);
    const { code, stderr } = await lab.datagen("run", "config.json");
    expect(code).toBe(2);
    expect(lab.bodies).toEqual([]);
    return stderr;
  };

  test("is named, with the columns that there are", async () => {
    const stderr = await refused({}, "{text} {genre}");
    expect(stderr).toContain(
      'row 0 (line 1) has no "genre", which prompt_template uses; it has "input", "reference", "split", "register", "meta", "text"',
    );
    expect(stderr).toContain("row 1 (line 2)");
    expect(stderr).toContain("A name in braces in prompt_template is a column");
  });

  test.each<[row: object, template: string, says: string]>([
    [{ register: null }, "{text} {register}", ' has no value of "register", which prompt_template uses'],
    [{ meta: {} }, "{text} {meta.reader}", ' has no "meta.reader", which prompt_template uses'],
    [{ reference: null }, "{text} {reference}", " has no reference, which prompt_template uses"],
    [{ reference: undefined }, "{text} {reference}", " has no reference, which prompt_template uses"],
    [
      { register: [1, { of: TOO_LARGE }] },
      "{text} {register}",
      ': "register", which prompt_template uses, holds a number',
    ],
    [{ register: TOO_LARGE }, "{text} {register}", ': "register", which prompt_template uses, holds a number that'],
  ])("%j for %s", async (row, template, says) => {
    const stderr = await refused(row, template);
    expect(stderr).toContain(`row 1 (line 2)${says}`);
    expect(stderr).not.toContain("row 0");
  });

  test("has no length of an array, which no file says", async () => {
    const stderr = await refused({ meta: ["children"] }, "{text} {meta.length}");
    expect(stderr).toContain('row 1 (line 2) has no "meta.length", which prompt_template uses');
  });

  test("may lack what only prompts of other configs use", async () => {
    await using lab = await promptLab({
      prompt_template: null,
      agent_perspectives: [OVERRIDES.agent_perspectives[0]!],
    });
    await lab.space.write("rows.jsonl", jsonLines([{ input: "Eins.", split: "test" }]));
    await lab.succeed("run", "config.json", "--output", "dataset.json");
    expect((await lab.dataset()).tasks[0]).not.toHaveProperty("columns");
  });
});

test("a fixed seed of some perspectives with replicates is said before it is paid, and a cap wants every limit", async () => {
  const perspectives = [
    { ...PLAIN, reading: null, model_config: { seed: 1 } },
    { ...PLAIN, reading: null, condition: "Long", model_config: { max_tokens: null } },
  ];
  const config = {
    agent_perspectives: perspectives,
    replicates: 2,
    prompt_template: null,
    prices: { input: 1, output: 1 },
  };
  await using lab = await promptLab(
    { ...config, model_config: { model_name: "some-model" }, api_provider: "together" },
    2,
  );
  const { stderr } = await lab.succeed("run", "config.json", "--no-export");
  expect(stderr).toContain(
    "a fixed seed, so each prompt of 1 of the 2 perspectives is sent 2 times with the same seed",
  );
  const capped = await lab.datagen("run", "config.json", "--fresh", "--max-cost", "1");
  expect(capped.code).toBe(2);
  expect(capped.stderr).toContain("Set agent_perspectives[1].model_config.max_tokens in the config.");
  const sent = lab.bodies.length;
  const limited = perspectives.map((one, at) => ({ ...one, model_config: { max_tokens: 9 - 4 * at } }));
  await lab.space.write("config.json", { ...lab.config, agent_perspectives: limited, max_cost_usd: 1 });
  const { steps } = await lab.json<Estimate>("estimate", "config.json");
  expect(steps.map(({ completion_tokens: { high } }) => high <= 4 * 5)).toEqual([false, true]);
  await lab.succeed("run", "config.json", "--no-export");
  expect(lab.bodies).toHaveLength(sent + 8);
});

test("answers of a perspective are no guide for another reasoning effort", async () => {
  const faithful = { ...OVERRIDES.agent_perspectives[0]!, model_config: { reasoning_effort: "low" } };
  await using lab = await promptLab(
    { agent_perspectives: [faithful as never], model_config: { model_name: "gpt-5" } },
    9,
  );
  await lab.succeed("run", "config.json", "--no-export");
  const levels = async () => (await lab.json<Estimate>("estimate", "config.json", "--fresh")).steps[0]!.basis.level;
  expect(await levels()).toBe("instruction");
  const other = { ...faithful, model_config: { reasoning_effort: "high" } };
  await lab.space.write("config.json", { ...lab.config, agent_perspectives: [other] });
  expect(await levels()).not.toBe("instruction");
});

test("a request may be charged for what a server adds to each message", async () => {
  const settings = {
    provider: "openai",
    base_url: null,
    endpoint: "chat",
    model: "m",
    parameters: { max_tokens: 9 },
  } as const;
  const reservationOf = await createReservations(settings, false);
  const reserved = (contents: string[]) => {
    const messages = contents.map((content) => ({ role: "user" as const, content }));
    return reservationOf({ prompt: { messages, pieces: [contents.at(-1)!] }, settings } as never);
  };
  expect(reserved(["äb"])).toEqual({ promptTokens: 3 + 64, completionTokens: 9 });
  expect(reserved(["x", "y", "äb"])).toEqual({ promptTokens: 5 + 64 + 2 * 16, completionTokens: 9 });
});

test("a model that only completes texts is sent no system prompt, and the error says so before anything is sent", async () => {
  await using lab = await promptLab({ model_config: { model_name: "davinci-002" } });
  const { code, stderr } = await lab.datagen("run", "config.json");
  expect(code).toBe(2);
  expect(stderr).toContain("system_prompt cannot be sent: davinci-002 uses the endpoint completions");
  // Templates alone can be.
  const own = { ...OVERRIDES, system_prompt: null, messages: null };
  const config = { ...lab.config, ...own, model_config: { model_name: "davinci-002" } };
  await lab.space.write("config.json", config);
  await lab.succeed("run", "config.json", "--no-export");
  expect(lab.server.requests.every(({ endpoint }) => endpoint === "completions")).toBe(true);
});
