import { chmod, cp, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Figure, GroupStatistics, RunStatistics, SuspectAnswer } from "../src/index.ts";
import { type Config, queryRows, type Workspace, workspace } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import * as naive from "./support/naive-statistics.ts";

const ROOT = resolve(import.meta.dirname, "..");

/** A folder with the sample configs, their data, and runs of them that the offline provider answered. */
let space: Workspace;
/** The ids of the runs. */
const runs = { translation: "", summarization: "", replicated: "" };

type Answered = naive.Row & { response: string };

async function run(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await datagenInTurn(args, { cwd: space.path });
  expect(stderr).not.toMatch(/^Error/m);
  expect(code).toBe(0);
  return stdout;
}

async function statsOf(...args: string[]): Promise<RunStatistics> {
  return JSON.parse(await run("stats", ...args, "--json")) as RunStatistics;
}

async function answersOf(id: string): Promise<Answered[]> {
  const lines = (await run("export", id, "--format", "jsonl", "--output", "-")).trimEnd().split("\n");
  // JSON Lines have the tokens of notes and response together.
  const tokens = queryRows<{ cell: string; tokens: number }>(
    space.at("data/datagen.db"),
    `select t.position || ' ' || p.condition || ' ' || c.replicate cell,
       a.completion_tokens - coalesce(a.reasoning_tokens, 0) tokens
     from runs r join tasks t on t.run_id = r.id join calls c on c.task_id = t.id and c.step = 'strategy'
     join perspectives p on p.id = c.perspective_id join answers a on a.id = c.answer_id where r.public_id = '${id}'`,
  );
  const byCell = new Map(tokens.map((row) => [row.cell, row.tokens]));
  return lines
    .map((line) => JSON.parse(line) as Answered)
    .filter(({ condition }) => condition !== "Reference")
    .map((row) => ({ ...row, response_tokens: byCell.get(`${row.task} ${row.condition} ${row.replicate}`)! }));
}

async function plan(name: string, size: number, more: object = {}): Promise<string> {
  const config = JSON.parse(await readFile(space.at(`configs/${name}.json`), "utf8")) as Config;
  const changed = { ...config, ...more, data_config: { ...config.data_config, sample_size: size } };
  await space.write("config.json", changed);
  const ran = JSON.parse(await run("run", "config.json", "--provider", "offline", "--no-export", "--json")) as {
    run: { id: string };
  };
  return ran.run.id;
}

beforeAll(async () => {
  space = await workspace();
  await mkdir(space.at("data"));
  for (const name of ["translation", "summarization"]) {
    await cp(resolve(ROOT, `configs/${name}.json`), space.at(`configs/${name}.json`), { recursive: true });
    await cp(resolve(ROOT, `data/${name}.json`), space.at(`data/${name}.json`));
  }
  runs.translation = await plan("translation", 10);
  runs.summarization = await plan("summarization", 6);
  const config = JSON.parse(await readFile(space.at("configs/translation.json"), "utf8")) as Config;
  const perspectives = config.agent_perspectives.slice(0, 3);
  runs.replicated = await plan("translation", 6, { agent_perspectives: perspectives, replicates: 3 });
});

afterAll(() => space[Symbol.asyncDispose]());

/** Checks every figure of a group. */
function expectFigures(found: GroupStatistics, rows: Answered[], duplicates: object): void {
  const name = found.condition ?? found.kind;
  expect(found.n).toBe(rows.length);
  for (const length of ["characters", "words", "sentences", "tokens"] as const) {
    const wanted = naive.spread(rows.map(naive.OF_ANSWERS[length]!));
    for (const [part, value] of Object.entries(wanted)) {
      expect(found[length][part as "mean"], `${length} ${part} of ${name}`).toBeCloseTo(value, 9);
    }
  }
  for (const [figure, wanted] of Object.entries(naive.figuresOf(rows))) {
    const { value, low, high, signature } = found[figure as "bleu"] as Figure;
    // gzip may pack a text a little differently that comes in pieces.
    expect(Math.abs(value / wanted - 1), `${figure} of ${name}: ${value}, not ${wanted}`).toBeLessThan(
      figure === "redundancy" ? 1e-3 : 1e-9,
    );
    expect(signature).toMatch(new RegExp(`n:${rows.length}\\b.*sample:all.*seed:1.*figures:2`));
    if (["redundancy", "distinct1", "distinct2"].includes(figure)) expect([low, high]).toEqual([null, null]);
    else expect(signature).toMatch(/interval:95%, bootstrap of inputs, draws:1000/);
    if (low !== null && high !== null) expect(high).toBeGreaterThanOrEqual(low);
  }
  expect(found.duplicates, `duplicates of ${name}`).toEqual(duplicates);
}

describe("datagen stats --json", () => {
  test.each(["translation", "summarization"] as const)(
    "of a run of the sample config for %s has the figures that a second implementation computes",
    async (name) => {
      const [stats, rows] = [await statsOf(runs[name]), await answersOf(runs[name])];
      expect(stats.run).toBe(runs[name]);
      const conditions = [...new Set(rows.map(({ condition }) => condition))];
      expect(stats.conditions.map(({ condition }) => condition)).toEqual(conditions);
      const duplicates = naive.duplicatesIn(rows);
      for (const found of stats.conditions) {
        const own = rows.filter(({ condition }) => condition === found.condition);
        expectFigures(
          found,
          own,
          duplicates((condition) => condition === found.condition),
        );
        if (own.length <= 100) {
          expect(found.self_bleu!.value).toBeCloseTo(naive.selfBleu(own.map(({ response }) => response)), 9);
        }
      }
      // gzip finds only repetitions that are near, so that the order counts.
      const byCondition = conditions.flatMap((condition) => rows.filter((row) => row.condition === condition));
      const kindOf = (condition: string) => condition.split(":")[0]!;
      for (const found of stats.kinds) {
        const isIn = (condition: string) => kindOf(condition) === found.kind;
        expectFigures(
          found,
          byCondition.filter(({ condition }) => isIn(condition)),
          duplicates(isIn),
        );
      }
      expect(stats.kinds.map(({ kind }) => kind)).toEqual([...new Set(conditions.map(kindOf))]);

      const matrix = stats.similarity.chrf;
      expect(stats.similarity.conditions).toEqual(conditions);
      for (const row of [0, 1, conditions.length - 1]) {
        for (const [column, other] of conditions.entries()) {
          const wanted = row === column ? 100 : naive.similarity(rows, conditions[row]!, other);
          expect(matrix[row]![column], `${conditions[row]} against ${other}`).toBeCloseTo(wanted, 9);
        }
      }
    },
  );

  test("compares kinds, pair by pair", async () => {
    const [stats, rows] = [await statsOf(runs.translation, "--by", "kind"), await answersOf(runs.translation)];
    const kinds = stats.kinds.map(({ kind }) => kind!);
    const pairs = (kinds.length * (kinds.length - 1)) / 2;
    expect(stats.differences).toHaveLength(pairs * Object.keys(naive.OF_ANSWERS).length);
    for (const { figure, a, b, d, auc, mean_difference: difference } of stats.differences) {
      const [one, other] = [a, b].map((kind) =>
        rows
          .filter(({ condition }) => condition.startsWith(`${kind}:`))
          .map(naive.OF_ANSWERS[figure]!)
          .filter((value) => !Number.isNaN(value)),
      ) as [number[], number[]];
      const what = `${figure} of ${a} and ${b}`;
      expect(d, what).toBeCloseTo(naive.cohensD(one, other), 6);
      expect(auc, what).toBeCloseTo(naive.auc(one, other), 6);
      expect(difference.value, what).toBeCloseTo(naive.mean(one) - naive.mean(other), 9);
      expect(difference.low! <= difference.value + 1e-9 && difference.high! >= difference.value - 1e-9, what).toBe(
        true,
      );
    }
  });

  test("says how replicates agree, and counts cells, cost and latency", async () => {
    const [stats, rows] = [await statsOf(runs.replicated), await answersOf(runs.replicated)];
    for (const { condition, ...found } of stats.conditions) {
      const own = rows.filter((row) => row.condition === condition);
      expect(found.replicate_agreement!.value).toBeCloseTo(naive.agreement(own), 9);
      const latencies = own.flatMap(({ latency_ms: ms }) => ms ?? []);
      expect(found.latency_ms.median).toBeCloseTo(naive.quantile(latencies, 0.5), 9);
      expect(found.latency_ms.p95).toBeCloseTo(naive.quantile(latencies, 0.95), 9);
      const reused = own.filter(({ run_id: id, origin_run: origin }) => origin !== id).length;
      expect(found).toMatchObject({ n: 18, failed: {}, truncated: 0, reused, cost_usd: 0 });
    }
    const { conditions } = await statsOf(runs.translation);
    expect(conditions.every(({ replicate_agreement: none }) => none === null)).toBe(true);
  });

  test("is the same every time, with the figures kept before and without", async () => {
    const first = await run("stats", runs.translation, "--json");
    expect(await run("stats", runs.translation, "--json")).toBe(first);
    await run("runs", "list");
    await writeFile(space.at("data/datagen.db.features"), "not a database");
    expect(await run("stats", runs.translation, "--json")).toBe(first);
  });

  test("prints an array for several runs, and one object for models", async () => {
    const several = JSON.parse(await run("stats", runs.replicated, runs.translation, "--json")) as RunStatistics[];
    expect(several.map(({ run: id }) => id)).toEqual([runs.replicated, runs.translation]);
    const models = JSON.parse(await run("stats", runs.replicated, runs.translation, "--by", "model", "--json")) as {
      runs: string[];
      models: GroupStatistics[];
    };
    expect(models.runs).toEqual([runs.replicated, runs.translation]);
    const answers = (await answersOf(runs.replicated)).length + (await answersOf(runs.translation)).length;
    expect(models.models).toMatchObject([{ n: answers }]);
  });
});

/** A folder with a copy of the runs, and without figures. */
async function copyOfRuns(): Promise<Workspace> {
  const own = await workspace();
  await cp(space.path, own.path, { recursive: true });
  await rm(own.at("data/datagen.db.features"), { force: true });
  return own;
}

/** Of how many answers the file keeps figures: each value has its own number of them. */
function keptIn(path: string): number {
  const values = queryRows<{ value: Buffer }>(`${path}.features`, "select value from features");
  return values.reduce((sum, { value }) => sum + value.readInt32LE(4), 0);
}

describe("the file DATABASE.features", () => {
  test("keeps the figures of each different answer, so that a longer run computes only new ones", async () => {
    await using own = await copyOfRuns();
    const db = own.at("data/datagen.db");
    const stats = async (id: string) => {
      const { code, stdout, stderr } = await datagenInTurn(["stats", id, "--json"], { cwd: own.path });
      expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
      return stdout;
    };
    await stats(runs.summarization);
    const different = async (...ids: string[]) => {
      const answers = (await Promise.all(ids.map(answersOf))).flat();
      return new Set(answers.map(({ context, reference, response }) => `${context}\0${reference}\0${response}`)).size;
    };
    const before = await different(runs.summarization);
    expect(keptIn(db)).toBe(before);
    // A mark in what is kept: it stays, because these answers are not computed again.
    const [first] = queryRows<{ key: number; value: string }>(
      `${db}.features`,
      "select key, hex(value) value from features",
    );
    await stats(runs.translation);
    expect(keptIn(db)).toBe(await different(runs.summarization, runs.translation));
    expect(queryRows(`${db}.features`, `select hex(value) value from features where key = ${first!.key}`)).toEqual([
      { value: first!.value },
    ]);
  });

  test("is used, not trusted: kept figures count, damaged ones and a damaged file do not", async () => {
    await using own = await copyOfRuns();
    const file = own.at("data/datagen.db.features");
    const stats = async () => (await datagenInTurn(["stats", runs.summarization, "--json"], { cwd: own.path })).stdout;
    const right = await stats();
    // Give every answer the figures of another one to the same input: whoever reads them computes wrong means.
    const { packed, unpacked } = await import("../src/stats/packed.ts");
    const { WITH_REFERENCE } = await import("../src/stats/comparison.ts");
    const { default: Database } = await import("better-sqlite3");
    const values = new Map(
      queryRows<{ key: number; value: Buffer }>(file, "select key, value from features").map(({ key, value }) => {
        const answers = [...unpacked(value, WITH_REFERENCE)!];
        const turned = answers.map(([answer], at) => [answer, answers[(at + 1) % answers.length]![1]] as const);
        return [key, packed(new Map(turned), WITH_REFERENCE)];
      }),
    );
    const kept = keptIn(own.at("data/datagen.db"));
    {
      using sqlite = disposable(new Database(file));
      const update = sqlite.it.prepare("update features set value = ? where key = ?");
      for (const [key, value] of values) update.run(value, key);
    }
    expect(await stats()).not.toBe(right);
    {
      using sqlite = disposable(new Database(file));
      const update = sqlite.it.prepare("update features set value = ? where key = ?");
      for (const [key, value] of values) {
        value[20]! ^= 1;
        update.run(value, key);
      }
    }
    expect(await stats()).toBe(right);
    await writeFile(file, Buffer.alloc(8_192, "x"));
    expect(await stats()).toBe(right);
    expect(keptIn(own.at("data/datagen.db"))).toBe(kept);
    {
      using sqlite = disposable(new Database(file));
      sqlite.it.pragma("user_version = 999");
    }
    expect(await stats()).toBe(right);
    expect(keptIn(own.at("data/datagen.db"))).toBe(kept);
    expect((await stat(file)).mode & 0o777).toBe(0o600);
  });

  test("keeps what was collected of a run of many inputs, and reads only the tasks that were not settled", async () => {
    await using own = await workspace();
    await own.write("config.json", {
      task_type: "translation",
      task_description: "Many inputs",
      model_config: { model_name: "gpt-4o-mini", max_tokens: 20 },
      agent_perspectives: ["One", "Two"].map((condition) => ({ condition, strategy: `${condition}: translate.` })),
      data_config: { input_data_path: "rows.json", sample_size: 2_010 },
      api_provider: "offline",
    });
    await own.write(
      "rows.json",
      Array.from({ length: 2_010 }, (_, at) => ({ input: `Satz Nummer ${at} von vielen.`, reference: `Line ${at}.` })),
    );
    const call = async (...args: string[]) => {
      const { code, stdout } = await datagenInTurn(args, { cwd: own.path });
      expect(code).toBe(0);
      return stdout;
    };
    await call("run", "config.json", "--no-export");
    const db = own.at("data/datagen.db");
    const { default: Database } = await import("better-sqlite3");
    const change = (file: string, sql: string, ...values: unknown[]) => {
      using sqlite = disposable(new Database(file));
      sqlite.it.prepare(sql).run(...values);
    };
    const fresh = async () => {
      await rm(`${db}.features`, { force: true });
      return await call("stats", "latest", "--json");
    };
    const all = await fresh();
    // Some answers are still to come: in the middle, and at the end.
    const open = queryRows<{ id: number; answer_id: number }>(
      db,
      "select id, answer_id from calls where id in (7, 8, 9, 1000) or id > 4000",
    );
    for (const { id } of open) change(db, "update calls set state = 'pending', answer_id = null where id = ?", id);
    expect(await fresh()).not.toBe(all);
    for (const { id, answer_id: answer } of open) {
      change(db, "update calls set state = 'succeeded', answer_id = ? where id = ?", answer, id);
    }
    const close = (found: string, wanted: string) => {
      const numbers = (text: string) => JSON.parse(text.replaceAll(/(\d\.\d{9})\d+/g, "$1")) as unknown;
      expect(numbers(found)).toEqual(numbers(wanted));
    };
    close(await call("stats", "latest", "--json"), all);

    const { deserialize, serialize } = await import("node:v8");
    const { crc32 } = await import("node:zlib");
    const [piece] = queryRows<{ id: number; value: Buffer }>(
      `${db}.features`,
      "select id, value from pieces order by id limit 1 offset 2",
    );
    const tally = deserialize(piece!.value.subarray(4)) as { answered: number };
    const content = serialize({ ...tally, answered: tally.answered + 100 });
    const check = Buffer.alloc(4);
    check.writeUInt32LE(crc32(content));
    change(`${db}.features`, "update pieces set value = ? where id = ?", Buffer.concat([check, content]), piece!.id);
    const used = JSON.parse(await call("stats", "latest", "--json")) as RunStatistics;
    expect(used.conditions[0]!.n).toBe(2_110);
    change(
      `${db}.features`,
      "update pieces set value = ? where id = ?",
      Buffer.concat([Buffer.alloc(4), content]),
      piece!.id,
    );
    close(await call("stats", "latest", "--json"), all);
    // Neither is a piece of another form, or one of a version of Node.js that is still to come.
    for (const [at, other] of [
      [0, Buffer.from([0xff, 0xfe, 0x6f])],
      [2, serialize({ answered: 1 })],
    ] as const) {
      const places = queryRows<{ id: number }>(`${db}.features`, "select id from pieces order by id");
      check.writeUInt32LE(crc32(other));
      change(
        `${db}.features`,
        "update pieces set value = ? where id = ?",
        Buffer.concat([check, other]),
        places[at]!.id,
      );
      close(await call("stats", "latest", "--json"), all);
    }
    // Another answer to a task that was settled makes all that was kept of the run useless.
    change(db, "update calls set answer_id = (select answer_id from calls where id = 21) where id = 11");
    const changed = await call("stats", "latest", "--json");
    expect(changed).not.toBe(all);
    close(changed, await fresh());
  });

  test("is not written where nothing can be written, and a file of another program stays", async () => {
    await using own = await copyOfRuns();
    const file = own.at("data/datagen.db.features");
    const { default: Database } = await import("better-sqlite3");
    await own.write("data/datagen.db.features", "");
    {
      using sqlite = disposable(new Database(file));
      sqlite.it.exec("create table notes (text); insert into notes values ('mine')");
    }
    const right = await run("stats", runs.summarization, "--json");
    const { stdout } = await datagenInTurn(["stats", runs.summarization, "--json"], { cwd: own.path });
    expect(stdout).toBe(right);
    expect(queryRows(file, "select text from notes")).toEqual([{ text: "mine" }]);
    // The superuser may write everywhere: a folder of that name cannot be a file for anybody.
    await rm(file);
    await mkdir(file);
    expect((await datagenInTurn(["stats", runs.summarization, "--json"], { cwd: own.path })).stdout).toBe(right);
    await rm(file, { recursive: true });
    await chmod(own.at("data"), 0o500);
    expect((await datagenInTurn(["stats", runs.summarization, "--json"], { cwd: own.path })).stdout).toBe(right);
    await chmod(own.at("data"), 0o700);
  });
});

function disposable<T extends { close(): unknown }>(it: T): { it: T } & Disposable {
  return { it, [Symbol.dispose]: () => void it.close() };
}

describe("kinds in the config", () => {
  test("name conditions and kinds, and what they leave keeps its own kind", async () => {
    const config = JSON.parse(await readFile(space.at("configs/translation.json"), "utf8")) as Config;
    const conditions = config.agent_perspectives.map(({ condition }) => condition);
    const colon = [...new Set(conditions.map((condition) => condition.split(":")[0]!))];
    const [first, second, ...others] = colon as [string, string, ...string[]];
    const member = conditions.find((condition) => condition.startsWith(`${second}:`))!;
    const id = await plan("translation", 2, { kinds: { "Good faith": [first, member] } });
    const { kinds } = await statsOf(id);
    const size = (kind: string) => conditions.filter((condition) => condition.startsWith(`${kind}:`)).length;
    expect(kinds.map(({ kind, n }) => [kind, n])).toEqual([
      ["Good faith", 2 * (size(first) + 1)],
      [second, 2 * (size(second) - 1)],
      ...others.map((kind) => [kind, 2 * size(kind)]),
    ]);
    // Kinds are no part of a plan: without them, all answers are there already.
    const again = await plan("translation", 2);
    const [reused] = JSON.parse(await run("runs", "list", "--json")) as {
      id: string;
      calls: { total: number; reused: number };
    }[];
    expect(reused!.id).toBe(again);
    expect(reused!.calls.reused).toBe(reused!.calls.total);
    const { conditions: found } = await statsOf(again);
    expect(found.every(({ n, reused: from }) => n === 2 && from === 2)).toBe(true);
    // A run of fewer perspectives keeps the kinds that it has.
    await run("run", "config.json", "--provider", "offline", "--no-export", "--test");
    await run("stats", "latest");
  });

  test("that name no condition are errors with their place", async () => {
    const config = JSON.parse(await readFile(space.at("configs/translation.json"), "utf8")) as Config;
    await space.write("wrong.json", { ...config, kinds: { Good: ["Faithfull"], Bad: [], Odd: "x" } });
    const { code, stderr } = await datagenInTurn(["run", "wrong.json", "--provider", "offline"], { cwd: space.path });
    expect(code).toBe(2);
    expect(stderr).toMatch(/kinds\.Good\[0\]: expected a condition of agent_perspectives, .* found "Faithfull"/);
    expect(stderr).toMatch(/kinds\.Bad: expected at least one condition or kind/);
    expect(stderr).toMatch(/kinds\.Odd: expected an array of conditions or kinds/);
  });
});

describe("datagen stats --suspects", () => {
  test("lists the answers that look wrong, with the reasons, and no other", async () => {
    await using own = await workspace();
    const input = (at: number) => `Der Hund Nummer ${at} läuft langsam über die lange Brücke am Fluss.`;
    const reference = (at: number) => `Dog number ${at} slowly crosses the long bridge at the river.`;
    const usual = (at: number) => `The dog with the number ${at} walks slowly over that long bridge by the river.`;
    const odd = new Map([
      [1, "Dog."],
      [2, input(2).toUpperCase()],
      [3, reference(3)],
      [4, "The same text stands here for several of the inputs."],
      [5, "the same text stands here, for several of the inputs"],
      [6, "The same text stands here for several of the inputs!"],
      [7, "Собака под номером семь медленно идёт по длинному мосту."],
      [8, "I'm sorry, but I can't help with translating this text for you."],
      [9, "Certainly! The dog with the number nine walks over the long bridge."],
      [10, "Es tut mir leid, aber ich kann diesen Text leider nicht übersetzen."],
    ]);
    await own.write("dataset.json", {
      task_type: "translation",
      task_description: "German to English translation task",
      agent_perspectives: [{ condition: "Plain", reading: null, strategy: "Translate." }],
      tasks: Array.from({ length: 40 }, (_, at) => ({
        context: input(at),
        reference: reference(at),
        preparations: [null],
        responses: [odd.get(at) ?? usual(at)],
      })),
      metadata: { model_config: { model_name: "gpt-4o-mini" } },
    });
    const imported = await datagenInTurn(["import", "dataset.json", "--provider", "openai"], { cwd: own.path });
    expect(imported.stderr).not.toMatch(/^Error/m);
    const { stdout, stderr } = await datagenInTurn(["stats", "latest", "--suspects", "--json"], { cwd: own.path });
    expect(stderr).toBe("");
    const found = JSON.parse(stdout) as SuspectAnswer[];
    expect(found.map(({ task, reasons }) => [task, reasons])).toEqual([
      [1, ["short"]],
      [2, ["same as the input"]],
      [3, ["same as the reference"]],
      [4, ["same for many inputs"]],
      [5, ["same for many inputs"]],
      [6, ["same for many inputs"]],
      [7, ["other script"]],
      [8, ["refusal"]],
      [9, ["chatter"]],
      [10, ["refusal"]],
    ]);
    expect(found[6]).toMatchObject({ condition: "Plain", replicate: 1, response: odd.get(7) });
    const env = { COLUMNS: "80" };
    const table = await datagenInTurn(["stats", "latest", "--suspects"], { cwd: own.path, env });
    expect(table.stdout.trimEnd().split("\n")).toHaveLength(11);
    expect(Math.max(...table.stdout.split("\n").map(({ length }) => length))).toBeLessThanOrEqual(80);
    const csv = await datagenInTurn(["stats", "latest", "--suspects", "--csv"], { cwd: own.path });
    expect(csv.stdout).toMatch(/^run,task,id,condition,replicate,reasons,response\r?\n/);
    // Nothing is known of the cost of imported answers, and of their tokens.
    const stats = JSON.parse(
      (await datagenInTurn(["stats", "latest", "--json"], { cwd: own.path })).stdout,
    ) as RunStatistics;
    expect(stats.conditions[0]).toMatchObject({ n: 40, cost_usd: null, latency_ms: { median: null } });
    expect(stats.conditions[0]!.duplicates).toEqual({ within: 3, between: 0, near_within: 3, near_between: 0 });
  });
});

describe("datagen stats", () => {
  test("prints tables no wider than the terminal, and CSV with a line for each group", async () => {
    const { stdout } = await datagenInTurn(["stats", runs.translation], { cwd: space.path, env: { COLUMNS: "80" } });
    expect(Math.max(...stdout.split("\n").map((line) => [...line].length))).toBeLessThanOrEqual(80);
    for (const title of ["ANSWERS", "WORDS", "CHRF", "AUC"]) expect(stdout).toContain(title);
    const csv = (await run("stats", runs.translation, "--by", "kind", "--csv")).trimEnd().split(/\r?\n/);
    const { kinds } = await statsOf(runs.translation);
    expect(csv).toHaveLength(1 + kinds.length);
    const names = csv[0]!.split(",");
    const values = csv[1]!.split(",");
    expect(values[names.indexOf("chrf")]).toBe(String(kinds[0]!.chrf!.value));
    expect(values[names.indexOf("words_q3")]).toBe(String(kinds[0]!.words.q3));
    expect(values[names.indexOf("bleu_high")]).toBe(String(kinds[0]!.bleu!.high));
  });

  test("says what is wrong with its arguments", async () => {
    const errors = async (...args: string[]) => {
      const { code, stderr } = await datagenInTurn(["stats", ...args], { cwd: space.path });
      expect(code).toBe(2);
      return stderr;
    };
    expect(await errors("zzzz")).toMatch(/there is no run "zzzz"/);
    expect(await errors(runs.translation, runs.translation)).toMatch(/is given twice/);
    expect(await errors("latest", "--csv", "--json")).toMatch(/--csv and --json/);
    expect(await errors("latest", "--by", "colour")).toMatch(/--by/);
    expect(await errors()).toMatch(/RUN/);
  });

  test("warns of pending answers, counts failures by their reasons, and has figures of what is there", async () => {
    await using own = await copyOfRuns();
    const { default: Database } = await import("better-sqlite3");
    {
      using sqlite = disposable(new Database(own.at("data/datagen.db")));
      const [id] = queryRows<{ id: number }>(
        own.at("data/datagen.db"),
        `select id from runs where public_id = '${runs.replicated}'`,
      );
      sqlite.it.exec(`update calls set state = 'failed', answer_id = null, failure = 'refusal'
          where id in (select id from calls where run_id = ${id!.id} and step = 'strategy' order by id limit 2);
        update calls set state = 'pending', answer_id = null where id = (select max(id) from calls where run_id = ${id!.id})`);
    }
    const { stdout, stderr } = await datagenInTurn(["stats", runs.replicated, "--json"], { cwd: own.path });
    expect(stderr).toMatch(/^Warning: 1 answer.* pending/);
    const { conditions } = JSON.parse(stdout) as RunStatistics;
    const failed = conditions.map((condition) => condition.failed["refusal"] ?? 0);
    expect(failed.reduce((sum, count) => sum + count)).toBe(2);
    expect(conditions.reduce((sum, { n }) => sum + n, 0)).toBe(3 * 18 - 3);
  });
});
