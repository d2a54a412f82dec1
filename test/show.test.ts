import { readdir } from "node:fs/promises";
import Database from "better-sqlite3";
import stringWidth from "string-width";
import { describe, expect, test } from "vitest";
import type { Preview, RunSummary, ShownInput } from "../src/index.ts";
import { rows } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { DATABASE, openLab, PLAIN } from "./support/lab.ts";

type Lab = Awaited<ReturnType<typeof openLab>>;

const NOTED = { condition: "Faithful: noted", reading: "Take notes.", strategy: "Write from the notes." };
const FAITHFUL = { ...PLAIN, condition: "Faithful: plain" };
const HASTY = { condition: "Hasty", reading: null, strategy: "Be quick." };
const CONFIG = { agent_perspectives: [FAITHFUL, NOTED, HASTY] };

/** Control characters other than line feeds, and marks that turn the direction of a line. */
// oxlint-disable-next-line no-control-regex -- this expression finds control characters
const OBEYED = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;

/** What a command prints on a terminal of this width. */
async function printed(lab: Lab, columns: number | undefined, ...args: string[]): Promise<string> {
  const env = { ...lab.spawned.env, COLUMNS: columns === undefined ? undefined : String(columns) };
  const { code, stdout, stderr } = await datagenInTurn(args, { ...lab.spawned, env });
  expect(stderr).toBe("");
  expect(code).toBe(0);
  return stdout;
}

async function shownBy(lab: Lab, ...args: string[]): Promise<ShownInput> {
  return JSON.parse(await printed(lab, undefined, "show", ...args, "--json")) as ShownInput;
}

const sentBy = (lab: Lab) => lab.server.requests.map(({ body }) => body!["messages"]);

describe.concurrent("datagen show", () => {
  test("has for one input what JSON Lines has, under each condition", async () => {
    await using lab = await openLab({ config: { ...CONFIG, replicates: 2, add_references: true }, data: rows(3) });
    await lab.runConfig(["--name", "first"]);
    const { stdout } = await lab.datagen("export", "latest", "--format", "jsonl", "--output", "-");
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>)
      .filter(({ task, condition }) => task === 1 && condition !== "Reference");
    expect(lines).toHaveLength(6);
    const { run, answers, ...shown } = await shownBy(lab, "latest", "--input", "1");
    expect(shown).toEqual({
      task: 1,
      id: lines[0]!["id"],
      context: rows(2)[1]!.input,
      reference: rows(2)[1]!.reference,
      found: null,
    });
    const ofRun = { run_id: run.id, run_name: "first", model: run.model };
    const { task, id, context, reference } = shown;
    expect(answers.map((answer) => ({ ...ofRun, task, id, context, reference, ...answer }))).toEqual(lines);
  });

  test("--prompt has the messages that were sent, and says where the notes are not there", async () => {
    await using lab = await openLab({
      config: CONFIG,
      data: rows(2),
      server: {
        keepBodies: true,
        behave: ({ index }) => (index === 4 ? { kind: "status", status: 400 } : undefined),
      },
    });
    await lab.runConfig(["--concurrency", "1"]);
    const [one, two] = await Promise.all([
      shownBy(lab, "latest", "--prompt"),
      shownBy(lab, "latest", "--prompt", "--input", "1"),
    ]);
    const prompts = [...one.answers, ...two.answers].flatMap(({ prompts: list }) => list!);
    const known = prompts.filter(({ messages }) => messages !== null);
    expect(known.map(({ messages }) => JSON.stringify(messages)).toSorted()).toEqual(
      sentBy(lab)
        .map((messages) => JSON.stringify(messages))
        .toSorted(),
    );
    // The request that failed is the first of the second input or its reading; each answer has its own messages.
    expect(known.filter(({ is_as_sent: isAsSent }) => isAsSent === true)).toHaveLength(lab.server.served.answers);
    const text = await printed(lab, 70, "show", "latest", "--condition", "Faithful: noted", "--prompt");
    expect(text).toMatch(
      /Prompt of the reading, user message:[^]*Notes:[^]*Prompt of the strategy, user message:[^]*Response/,
    );
  });

  test("--prompt says where the notes have changed since the answer", async () => {
    await using lab = await openLab({ config: { agent_perspectives: [NOTED] } });
    await lab.runConfig();
    const database = new Database(lab.space.at(DATABASE));
    database.exec("update answers set text = 'Other notes.' where id = (select min(id) from answers)");
    database.close();
    const { answers } = await shownBy(lab, "latest", "--prompt");
    expect(answers[0]!.prompts).toMatchObject([
      { step: "reading", is_as_sent: true },
      { step: "strategy", is_as_sent: false },
    ]);
    const text = await printed(lab, 80, "show", "latest", "--prompt");
    expect(text).toMatch(/The answer was asked with other notes, which have changed since\./);
  });

  test("--attempts has every request, and names the run that an answer comes from", async () => {
    await using lab = await openLab({
      config: { agent_perspectives: [FAITHFUL] },
      server: {
        behave: ({ index }) => (index === 0 ? { kind: "status", status: 500, message: "Not now" } : undefined),
      },
    });
    const first = await lab.runConfig();
    const one = await shownBy(lab, "latest", "--attempts");
    expect(one.answers).toMatchObject([
      {
        origin: "live",
        origin_run: first.run!.id,
        attempts: [
          { step: "strategy", outcome: "server_error", decision: "retry", http_status: 500, executor: "live" },
          { step: "strategy", outcome: "succeeded", decision: "kept", cost_usd: one.answers[0]!.cost_usd },
        ],
      },
    ]);
    expect(await printed(lab, 100, "show", "latest", "--attempts")).toMatch(/server_error +retry[^]*succeeded +kept/);
    await lab.runConfig(["--name", "again"]);
    const again = await shownBy(lab, "latest", "--attempts");
    expect(again.answers).toMatchObject([{ origin: "live", origin_run: first.run!.id, attempts: [], cost_usd: 0 }]);
    const text = await printed(lab, 80, "show", "latest", "--attempts");
    expect(text).toContain(`from run ${first.run!.id}`);
    expect(text).toContain("This run sent no request for it.");
  });

  test("says why there is no answer, in the model's words if it refused", async () => {
    await using lab = await openLab({
      config: { agent_perspectives: [FAITHFUL, HASTY] },
      server: {
        behave: ({ prompt }) =>
          prompt.includes(HASTY.strategy) ? { kind: "status", status: 400 } : { kind: "refusal" },
      },
    });
    await lab.runConfig(["--concurrency", "1"]);
    const { answers } = await shownBy(lab, "latest");
    expect(answers).toMatchObject([{ failure: "refusal" }, { failure: "bad_request", refusal: null }]);
    const text = await printed(lab, 80, "show", "latest");
    expect(text.replaceAll(/\s+/g, " ")).toContain(`No answer. The model refused: ${answers[0]!.refusal}`);
    expect(text).toContain("No answer: bad_request");
  });

  test("fits every width, with the reference beside each answer where there is room", async () => {
    const data = [{ input: "Ein Satz. ".repeat(200), reference: "参考 ".repeat(30) }];
    await using lab = await openLab({ config: CONFIG, data });
    await lab.runConfig();
    for (const columns of [20, 60, 80, 100, 140]) {
      const text = await printed(lab, columns, "show", "latest", "--prompt");
      for (const line of text.split("\n")) expect(stringWidth(line), line).toBeLessThanOrEqual(columns);
      expect(text.match(/│ Reference$/gm)?.length ?? 0).toBe(columns >= 100 ? 3 : 0);
      expect(text.match(/^Reference$/gm)?.length ?? 0).toBe(columns >= 100 ? 0 : 1);
      expect(text).toMatch(/^… \d+ more lines$/m);
    }
  });

  test("finds an input by its row or a text of it, and conditions by how they begin", async () => {
    await using lab = await openLab({ config: CONFIG, data: [...rows(3), { input: "Nur hier: Straße" }] });
    const { run } = await lab.runConfig();
    expect(await shownBy(lab, "latest", "--input", "STRASSE".replace("SS", "ß"))).toMatchObject({
      task: 3,
      found: { count: 1, tasks: [3] },
    });
    expect(await shownBy(lab, "latest", "--input", "bringt")).toMatchObject({
      task: 0,
      found: { count: 3, tasks: [0, 1, 2] },
    });
    const text = await printed(lab, 80, "show", "latest", "--input", "bringt");
    expect(text).toContain("3 inputs have this text. This is the first; the others: 1, 2");
    const conditions = async (wanted: string) =>
      (await shownBy(lab, "latest", "--condition", wanted)).answers.map(({ condition }) => condition);
    expect(await conditions("faithful")).toEqual(["Faithful: plain", "Faithful: noted"]);
    expect(await conditions("Hasty")).toEqual(["Hasty"]);
    const refused: [string[], string][] = [
      [["--input", "4"], `run ${run!.id} has no input 4; it has rows 0 to 3`],
      [["--input", "999999999999999"], "has no input 999999999999999"],
      [["--input", "nowhere"], `no input of run ${run!.id} has the text "nowhere"`],
      [["--condition", "Slow"], 'has no condition "Slow"\nIt has: "Faithful: plain", "Faithful: noted", "Hasty".'],
    ];
    for (const [flags, message] of refused) {
      const { code, stdout, stderr } = await lab.datagen("show", "latest", ...flags);
      expect([code, stdout]).toEqual([2, ""]);
      expect(stderr).toContain(message);
    }
  });
});

describe.concurrent("datagen preview", () => {
  test("has the messages that a run then sends, with their tokens; nothing is sent or written", async () => {
    await using lab = await openLab({ config: CONFIG, data: rows(3), server: { keepBodies: true } });
    const before = await readdir(lab.space.path);
    const preview = async (...flags: string[]) =>
      JSON.parse(await printed(lab, undefined, "preview", "config.json", ...flags, "--json")) as Preview;
    const first = await preview();
    expect(first.inputs).toMatchObject([{ task: 0, context: rows(1)[0]!.input, reference: rows(1)[0]!.reference }]);
    const two = await preview("--inputs", "2");
    expect(two.inputs.map(({ task }) => task)).toEqual([0, 1]);
    expect((await preview("--inputs", "9")).inputs).toHaveLength(3);
    expect(lab.server.requests).toEqual([]);
    expect(await readdir(lab.space.path)).toEqual(before);

    const calls = two.inputs.flatMap((input) => input.calls);
    expect(calls.filter(({ waits_for_notes: waits }) => waits)).toHaveLength(2);
    for (const { waits_for_notes: waits, messages, reused } of calls) {
      expect(reused).toBe(false);
      expect(messages[0]!.content.includes("```[notes]```")).toBe(waits);
    }
    await lab.runConfig(["--sample-size", "2"]);
    const sent = sentBy(lab).map((messages) => JSON.stringify(messages));
    for (const { waits_for_notes: waits, messages } of calls) {
      expect(sent.includes(JSON.stringify(messages))).toBe(!waits);
    }
    // The notes are there now.
    const after = await preview("--inputs", "3");
    const [done, open] = [after.inputs.slice(0, 2), after.inputs.slice(2)].map((list) =>
      list.flatMap((one) => one.calls),
    );
    expect(done!.map(({ messages }) => JSON.stringify(messages)).toSorted()).toEqual(sent.toSorted());
    expect(done!.every(({ reused, waits_for_notes: waits }) => reused && !waits)).toBe(true);
    expect(open!.map(({ reused }) => reused)).toEqual([false, false, false, false]);
    expect(await printed(lab, 80, "preview", "config.json")).toMatch(/not sent, because an earlier answer is\s+reused/);
  });

  test("counts the tokens that a run of the offline provider then reports", async () => {
    await using lab = await openLab({ config: { ...CONFIG, api_provider: "offline" } });
    const preview = JSON.parse(await printed(lab, undefined, "preview", "config.json", "--json")) as Preview;
    expect(preview).toMatchObject({ provider: "offline", model: "gpt-4o-mini", endpoint: "chat", is_exact: true });
    await lab.runConfig();
    const { answers } = await shownBy(lab, "latest", "--attempts");
    const attempts = answers.flatMap(({ attempts: list }) => list!);
    const calls = preview.inputs.flatMap((input) => input.calls);
    const exact = calls.flatMap(({ waits_for_notes: waits, tokens }, at) => (waits ? [] : [[at, tokens]]));
    expect(exact).toEqual(exact.map(([at]) => [at, attempts[at!]!.prompt_tokens]));
    expect(exact).toHaveLength(3);
  });

  test("needs no key, fits the width, and says how often a prompt is sent", async () => {
    await using lab = await openLab({ config: { ...CONFIG, replicates: 3 } });
    const result = await datagenInTurn(["preview", "config.json"], { cwd: lab.space.path, env: { COLUMNS: "60" } });
    expect(result).toMatchObject({ code: 0, stderr: "" });
    expect(result.stdout).toContain("Each prompt is sent 3 times.\nNothing was sent.\n");
    for (const line of result.stdout.split("\n")) expect(stringWidth(line)).toBeLessThanOrEqual(60);
  });

  test("refuses a config or an input that is wrong", async () => {
    await using lab = await openLab({ data: [{ input: "" }] });
    const { code, stdout, stderr } = await lab.datagen("preview", "config.json");
    expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
    expect(stderr).toContain('"input" is empty');
  });
});

test("nothing that a model or a file says reaches the terminal as a control character", async () => {
  const evil = "\u001b[2J\u001b]0;title\u0007 \u009b31m \r over \b\b \u202e turned \u2066 \u0000 end";
  await using lab = await openLab({
    config: { agent_perspectives: [{ condition: `Evil ${evil}`, reading: `Note ${evil}`, strategy: `Say ${evil}` }] },
    data: [{ input: `In ${evil}`, reference: `Ref ${evil}` }],
    server: {
      behave: ({ nth, prompt }) =>
        nth === 1 && prompt.startsWith("Note")
          ? { kind: "status", status: 500, message: `Bad ${evil}` }
          : { kind: "text", text: `Out ${evil}` },
    },
  });
  const { run } = await lab.runConfig(["--name", `Name ${evil.replace("\0", "")}`]);
  expect((run as RunSummary).calls.succeeded).toBe(2);
  for (const columns of [60, 140]) {
    const commands = [
      ["show", "latest", "--prompt", "--attempts"],
      ["show", "latest", "--prompt", "--attempts", "--json"],
      ["preview", "config.json"],
      ["preview", "config.json", "--json"],
      ["runs", "inputs", "latest"],
      ["runs", "inputs", "latest", "--json"],
    ];
    for (const args of commands) {
      const text = await printed(lab, columns, ...args);
      expect(text).toContain(args.includes("--json") || args[0] === "runs" ? "\\u001b" : "\\x1b");
      expect(text).not.toMatch(OBEYED);
    }
  }
});
