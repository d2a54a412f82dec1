import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { GroupStatistics, RunStatistics } from "../src/index.ts";
import { type Workspace, workspace } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import * as naive from "./support/naive-statistics.ts";

let space: Workspace;

beforeAll(async () => {
  space = await workspace();
});

afterAll(() => space[Symbol.asyncDispose]());

async function run(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await datagenInTurn(args, { cwd: space.path });
  expect(stderr).not.toMatch(/^Error/m);
  expect(code).toBe(0);
  return stdout;
}

/** Imports answers, so that a run has these texts. @returns the id of the run */
async function imported(answers: Record<string, string[]>, inputs?: string[]): Promise<string> {
  const conditions = Object.keys(answers);
  const tasks = Object.values(answers)[0]!.map((_, at) => ({
    context: inputs?.[at] ?? `Eingabe ${at}`,
    responses: conditions.map((condition) => answers[condition]![at]),
    preparations: conditions.map(() => null),
  }));
  await space.write("dataset.json", {
    task_type: "translation",
    task_description: "German to English translation task",
    agent_perspectives: conditions.map((condition) => ({ condition, reading: null, strategy: `As ${condition}.` })),
    tasks,
    metadata: {
      model_config: { model_name: "gpt-4o-mini", max_tokens: 100, temperature: 0.7 },
      api_provider: "openai",
      data_config: { input_data_path: "x.json", sample_size: tasks.length },
      generation_time: "2026-01-01T00:00:00",
    },
  });
  return (await run("import", "dataset.json")).trim();
}

async function statsOf(...args: string[]): Promise<RunStatistics> {
  return JSON.parse(await run("stats", ...args, "--json")) as RunStatistics;
}

function times<T>(count: number, make: (at: number) => T): T[] {
  return Array.from({ length: count }, (_, at) => make(at));
}

const duplicatesOf = ({ conditions }: { conditions: GroupStatistics[] }) => conditions.map((each) => each.duplicates);

test("suspects fit a narrow terminal", async () => {
  const id = await imported({
    "A condition with a long name": times(3, () => "Sure! As an AI model, I must decline."),
  });
  const { stdout } = await datagenInTurn(["stats", id, "--suspects"], { cwd: space.path, env: { COLUMNS: "40" } });
  expect(Math.max(...stdout.split("\n").map(({ length }) => length))).toBeLessThanOrEqual(40);
  expect(stdout).toMatch(/^ +0 .*same f/m);
});

describe("duplicates", () => {
  test("are found in each condition, of however many texts that are nearly the same", async () => {
    const template = times(80, (at) => `word${at}`).join(" ");
    const id = await imported({
      Many: times(60, (at) => `${template} a${at}`),
      "As many": times(60, (at) => `${template} b${at}`),
      One: times(60, (at) => (at === 30 ? `${template} c` : `Something else about matter ${at}, and no template.`)),
    });
    expect(duplicatesOf(await statsOf(id))).toEqual([
      { within: 0, between: 0, near_within: 60, near_between: 60 },
      { within: 0, between: 0, near_within: 60, near_between: 60 },
      { within: 0, between: 0, near_within: 0, near_between: 1 },
    ]);
  });

  test("have the same letters and digits, whatever symbols stand beside them", async () => {
    const id = await imported({ Plain: ["A great day"], Symbols: ["A GREAT 😀 day! 👍🏽"], Others: ["𝒜 great day"] });
    expect(duplicatesOf(await statsOf(id)).map(({ between }) => between)).toEqual([1, 1, 0]);
  });
});

test("a rare Chinese character is a word, too", async () => {
  const { conditions } = await statsOf(await imported({ One: ["𠮷𠮸"] }, ["𠮸川"]));
  expect(conditions[0]!.coverage!.value).toBe(0.5);
});

test("similarity is sacreBLEU's for answers of a few characters, and null without answers", async () => {
  const answers = {
    Short: ["ja", "nein", "ja", "vielleicht", "n"],
    Long: ["ja, sicher", "nein", "j", "nein, niemals", "nein"],
    None: times(5, () => "No response generated"),
  };
  const id = await imported(answers);
  const { similarity } = await statsOf(id);
  const rows = Object.entries(answers).flatMap(([condition, responses]) =>
    responses.map((response, task) => ({ task, condition, response, replicate: 1 })),
  ) as Parameters<typeof naive.similarity>[0];
  expect(similarity.chrf[0]![1]).toBeCloseTo(naive.similarity(rows, "Short", "Long"), 9);
  expect(similarity.chrf[1]![0]).toBeCloseTo(naive.similarity(rows, "Long", "Short"), 9);
  expect(similarity.chrf.map((row) => row[2])).toEqual([null, null, null]);
  expect(similarity.chrf[0]![0]).toBe(100);
});

test("tokens of imported answers are unknown", async () => {
  const { conditions, differences } = await statsOf(await imported({ A: ["eins", "zwei"], B: ["drei", "vier"] }));
  expect(conditions[0]!.tokens).toEqual({
    mean: null,
    sd: null,
    min: null,
    q1: null,
    median: null,
    q3: null,
    max: null,
  });
  expect(differences.map(({ figure }) => figure)).not.toContain("tokens");
});

test("CSV has no text that a spreadsheet takes for a formula", async () => {
  const id = await imported({ "=1+1": ["@SUM(A1)", "@SUM(A1)", "@SUM(A1)"] });
  expect(await run("stats", id, "--csv")).toContain(`${id},'=1+1,3,`);
  expect(await run("stats", id, "--suspects", "--csv")).toMatch(/,'=1\+1,1,same for many inputs,'@SUM\(A1\)\n/);
});

test("the largest differences are those of groups that do not vary", async () => {
  const words = times(6, (at) => times(at + 2, (place) => `w${at}${place}`).join(" "));
  const id = await imported({ Copy: words, Else: times(6, (at) => "other ".repeat(at + 3)) }, words);
  const first = (await run("stats", id)).split("\n").find((line) => /^Copy +Else/.test(line));
  expect(first).toMatch(/coverage +1\.00/);
});

test("a kind of the config and the own kind of other conditions are one, if they have the same name", async () => {
  await space.write("rows.json", [{ input: "Ein Satz." }, { input: "Noch einer." }]);
  await space.write("config.json", {
    task_type: "translation",
    task_description: "Kinds",
    model_config: { model_name: "gpt-4o-mini", max_tokens: 20 },
    agent_perspectives: ["Good: one", "Good: two", "Lazy"].map((condition) => ({ condition, strategy: condition })),
    kinds: { Good: ["Lazy", "Good: two"] },
    data_config: { input_data_path: "rows.json" },
    api_provider: "offline",
  });
  await run("run", "config.json", "--no-export");
  const { kinds } = await statsOf("latest");
  expect(kinds.map(({ kind, n }) => [kind, n])).toEqual([["Good", 6]]);
});

test("signatures say how many answers were read, where those of a condition have too many words", async () => {
  const text = times(3_600, (at) => `w${at % 7}`).join(" ");
  const id = await imported({ Long: times(300, (at) => `${text} ${at}`) });
  const { conditions } = await statsOf(id);
  const { distinct1, self_repetition: repetition } = conditions[0]!;
  for (const { signature } of [distinct1!, repetition!]) {
    const [, n, read] = /\|n:(\d+)\|.*\|sample:(\d+) of 300 answers\|/.exec(signature)!;
    expect(read).toBe(n);
    expect(Number(n)).toBeLessThan(300);
  }
});
