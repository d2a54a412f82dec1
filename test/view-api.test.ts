import { existsSync, readFileSync, statSync } from "node:fs";
import { chmod, rm } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import Database from "better-sqlite3";
import type { Difference, RunDiff, RunStatistics, SuspectAnswer } from "../src/index.ts";
import { binOf } from "../src/view/histogram.ts";
import type {
  CellView,
  Comparison,
  Distributions,
  Filter,
  GridRow,
  Figures,
  Matches,
  Statistics,
  ViewedRun,
  WholeRow,
} from "../src/view/rows.ts";
import { datagen, rows, startDatagen } from "./support/harness.ts";
import { DATABASE, NO_JITTER, openLab, PLAIN } from "./support/lab.ts";
import { openView, type View } from "./support/view.ts";

type Lab = Awaited<ReturnType<typeof openLab>>;

const FAITHFUL = { ...PLAIN, condition: "Faithful: plain" };
const NOTED = { condition: "Faithful: noted", reading: "Take notes.", strategy: "Write from the notes." };
const HASTY = { condition: "Hasty", reading: null, strategy: "Be quick." };

/** A line of JSON Lines. */
interface Line {
  run_id: string;
  task: number;
  condition: string;
  replicate: number;
  context: string;
  reference: string | null;
  response: string | null;
  failure: string | null;
  finish_reason: string | null;
  completion_tokens: number;
  latency_ms: number | null;
  cost_usd: number | null;
  origin_run: string | null;
}

async function linesOf(lab: Lab, run: string): Promise<Line[]> {
  const { stdout } = await lab.datagen("export", run, "--format", "jsonl", "--output", "-", "--allow-partial");
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Line);
}

const openViewOf = (lab: Lab) => openView(lab.start("view", "--json"));

async function read<T>(view: View, path: string): Promise<T> {
  const { status, body } = await view.get<T>(path);
  expect(status, JSON.stringify(body)).toBe(200);
  return body;
}

async function refusalOf(view: View, path: string): Promise<[number, string]> {
  const { status, body } = await view.get<{ error: { message: string; hint: string | null } }>(path);
  expect(Object.keys(body)).toEqual(["error"]);
  expect(Object.keys(body.error)).toEqual(["message", "hint"]);
  return [status, body.error.message];
}

/** All matches of a filter, slice by slice, as `position condition replicate`. */
async function allMatches(view: View, run: string, filter: Filter): Promise<string[]> {
  const query = new URLSearchParams(
    Object.entries(filter).map(([name, value]): [string, string] => [
      name,
      typeof value === "boolean" ? String(Number(value)) : String(value),
    ]),
  );
  const found: string[] = [];
  for (let after: number | null = -1; after !== null;) {
    query.set("after", String(after));
    const { rows: slice, next }: Matches = await read<Matches>(view, `runs/${run}/matches?${query.toString()}`);
    for (const { position, cells } of slice) found.push(...cells.map((cell) => [position, ...cell].join(" ")));
    after = next;
  }
  return found;
}

/** The statistics of a run, once they are computed. */
async function figuresOf(view: View, run: string): Promise<Figures> {
  for (;;) {
    const found = await read<Statistics>(view, `runs/${run}/statistics`);
    if (found.state === "ready") return found.figures;
    expect(found.state).toBe("computing");
    await new Promise((done) => setTimeout(done, 50));
  }
}

/** All rows of a run, as many requests as it takes. */
async function allRows(view: View, run: string): Promise<GridRow[]> {
  const all: GridRow[] = [];
  for (;;) {
    const some = await read<GridRow[]>(view, `runs/${run}/rows?from=${(all.at(-1)?.position ?? -1) + 1}`);
    if (some.length === 0) return all;
    all.push(...some);
  }
}

async function partnerOf(view: View, run: string, position: number, other: string): Promise<number | null> {
  const { position: found } = await read<{ position: number | null }>(
    view,
    `runs/${run}/rows/${position}/partner?run=${other}`,
  );
  return found;
}

/** The beginning of a text, as the grid has it. */
const begun = (text: string | null) => text && [...text].slice(0, 400).join("");

describe("of a run with answers, notes, failures of several kinds, cut answers and retries, the API", () => {
  let lab: Lab;
  let view: View;
  let first: string;
  /** Reuses the answers of the first. */
  let second: string;
  let third: string;

  beforeAll(async () => {
    lab = await openLab({
      config: { agent_perspectives: [FAITHFUL, NOTED, HASTY], replicates: 2, prices: { input: 1, output: 3 } },
      data: [...rows(9), { input: "Kein Verweis." }],
      server: {
        keepBodies: true,
        behave: ({ index, prompt }) => {
          if (prompt.includes(" 7 ")) return { kind: "text", text: rows(6)[5]!.reference! };
          if (index % 11 === 3) return { kind: "refusal", text: "I will not." };
          if (index % 13 === 4) return { kind: "status", status: 400, message: "No." };
          if (index % 17 === 5) return { kind: "length" };
          return index % 19 === 6 ? { kind: "status", status: 500 } : undefined;
        },
        latency: ({ index }) => (index * 7) % 40,
      },
      env: NO_JITTER,
    });
    first = (await lab.runConfig(["--name", "first"])).run!.id;
    lab.server.behave = undefined;
    second = (await lab.runConfig(["--name", "second"])).run!.id;
    // The same inputs in another order, with one more, and one of them twice.
    await lab.space.write("rows.json", [{ input: "Neu." }, ...rows(9).toReversed(), rows(1)[0]!]);
    third = (await lab.runConfig(["--fresh"])).run!.id;
    view = await openViewOf(lab);
  });

  afterAll(async () => {
    await view[Symbol.asyncDispose]();
    await lab[Symbol.asyncDispose]();
  });

  test("has runs, and in the grid what JSON Lines has", async () => {
    const { stdout } = await lab.datagen("runs", "list", "--json");
    expect(await read(view, "runs")).toEqual(JSON.parse(stdout));
    const viewed = await read<ViewedRun>(view, `runs/${first}`);
    expect(viewed).toMatchObject({
      run: { id: first, name: "first" },
      conditions: [
        { condition: "Faithful: plain", kind: "Faithful", hasReading: false },
        { condition: "Faithful: noted", kind: "Faithful", hasReading: true },
        { condition: "Hasty", kind: null, hasReading: false },
      ],
      replicates: 2,
      hasReferences: true,
      inputs: { count: 10, first: 0, last: 9 },
    });
    for (const run of [first, second]) {
      const lines = await linesOf(lab, run);
      const grid = await allRows(view, run);
      expect(grid.map(({ position }) => position)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
      const cells = grid.flatMap((row) =>
        row.cells.flatMap((replicates, condition) =>
          replicates.map((cell, at) => ({
            task: row.position,
            condition: viewed.conditions[condition]!.condition,
            replicate: at + 1,
            context: row.input.text,
            reference: row.reference?.text ?? null,
            response: cell.response?.text ?? null,
            failure: cell.failure,
            isTruncated: cell.isTruncated,
            isReused: cell.isReused,
          })),
        ),
      );
      const expected = lines.map(({ task, condition, replicate, context, reference, response, failure, ...line }) => ({
        task,
        condition,
        replicate,
        context,
        reference,
        response: begun(response),
        failure,
        isTruncated: line.finish_reason === "length",
        isReused: line.origin_run !== null && line.origin_run !== run,
      }));
      expect(cells).toEqual(expected);
      expect(expected.some(({ isTruncated }) => isTruncated)).toBe(true);
      if (run === second) expect(expected.some(({ isReused }) => isReused)).toBe(true);
      else expect(new Set(expected.map(({ failure }) => failure)).size).toBeGreaterThan(3);
    }
    expect((await read<GridRow[]>(view, `runs/${first}/rows?from=4&count=2`)).map(({ position }) => position)).toEqual([
      4, 5,
    ]);
    expect(await read(view, `runs/${first}/rows?from=10`)).toEqual([]);
  });

  test("finds with each filter what JSON Lines says", async () => {
    const conditions = [FAITHFUL, NOTED, HASTY].map(({ condition }) => condition);
    for (const run of [first, second]) {
      const lines = await linesOf(lab, run);
      const characters = ({ response }: Line) => (response === null ? null : [...response].length);
      const within = (value: number | null, from: number, to: number) => value !== null && value >= from && value < to;
      const latencies = lines.flatMap(({ latency_ms: ms }) => ms ?? []).toSorted((a, b) => a - b);
      const [low, high] = [latencies[3] ?? 0, latencies.at(-3) ?? 1];
      const costs = lines.flatMap(({ cost_usd: cost }) => cost ?? []).toSorted((a, b) => a - b);
      const cost = costs.at(-5)!;
      const sameTask = ({ task }: Line) => lines.filter((line) => line.task === task);
      const failed = lines.find(({ failure }) => failure?.startsWith("reading: "))?.failure ?? "refusal";
      const filters: [Filter, (line: Line) => boolean][] = [
        [{ state: "succeeded" }, ({ response }) => response !== null],
        [{ state: "failed" }, ({ failure }) => failure !== null],
        [{ state: "pending" }, () => false],
        [{ reason: failed }, ({ failure }) => failure === failed],
        [{ truncated: true }, (line) => line.finish_reason === "length"],
        [
          { truncated: false, condition: "Hasty" },
          (line) => line.condition === "Hasty" && line.finish_reason !== "length",
        ],
        [{ reused: true }, (line) => line.origin_run !== null && line.origin_run !== run],
        [{ reused: false }, (line) => line.origin_run === null || line.origin_run === run],
        [{ condition: NOTED.condition }, (line) => line.condition === NOTED.condition],
        [{ condition: "Faithful" }, () => false],
        [{ lengthFrom: 60 }, (line) => within(characters(line), 60, Infinity)],
        [{ lengthFrom: 20, lengthTo: 80.5 }, (line) => within(characters(line), 20, 80.5)],
        [{ latencyFrom: low, latencyTo: high }, (line) => within(line.latency_ms, low, high)],
        [{ costFrom: cost }, (line) => within(line.cost_usd, cost, Infinity)],
        [{ costTo: cost }, (line) => within(line.cost_usd, 0, cost)],
        [{ equal: "reference" }, (line) => line.response !== null && line.response === line.reference],
        [
          { equal: "other" },
          (line) =>
            line.response !== null && sameTask(line).filter(({ response }) => response === line.response).length > 1,
        ],
        [
          { text: "TO COLOGNE" },
          (line) => [line.context, line.reference, line.response].join("\n").includes("to Cologne"),
        ],
        [{ text: "kein verweis" }, ({ context }) => context === "Kein Verweis."],
      ];
      for (const [filter, isWanted] of filters) {
        const expected = lines
          .filter(isWanted)
          .map(({ task, condition, replicate }) => `${task} ${conditions.indexOf(condition)} ${replicate}`);
        expect([filter, await allMatches(view, run, filter)]).toEqual([filter, expected]);
      }
      expect(await allMatches(view, run, { equal: "reference" })).toHaveLength(6);
    }
  });

  test("counts in its histograms what JSON Lines says", async () => {
    const lines = await linesOf(lab, first);
    const { conditions, next, looked } = await read<Distributions>(view, `runs/${first}/distributions`);
    expect({ next, looked }).toEqual({ next: null, looked: 10 });
    [FAITHFUL, NOTED, HASTY].forEach(({ condition }, at) => {
      const own = lines.filter((line) => line.condition === condition);
      const histogram = (valueOf: (line: Line) => number | null) => {
        const values = own.flatMap((line) => valueOf(line) ?? []);
        const bins = Map.groupBy(values, binOf);
        return {
          bins: Object.fromEntries([...bins].map(([bin, { length }]) => [bin, length])),
          count: values.length,
          sum: values.reduce((sum, value) => sum + value, 0),
          min: Math.min(...values),
          max: Math.max(...values),
        };
      };
      const failures = Map.groupBy(
        own.flatMap(({ failure }) => failure ?? []),
        (failure) => failure,
      );
      expect(conditions[at]).toEqual({
        length: histogram(({ response }) => (response === null ? null : [...response].length)),
        completionTokens: histogram(({ response, completion_tokens: tokens }) => (response === null ? null : tokens)),
        latencyMs: histogram(({ latency_ms: ms }) => ms),
        costNanoUsd: histogram(({ cost_usd: usd }) => (usd === null ? null : Math.round(usd * 1e9))),
        states: {
          succeeded: own.filter(({ response }) => response !== null).length,
          failed: Object.fromEntries([...failures].map(([reason, { length }]) => [reason, length])),
          pending: 0,
          truncated: own.filter((line) => line.finish_reason === "length").length,
          reused: 0,
        },
      });
    });
  });

  test("shows the messages, the requests and the origin of a cell", async () => {
    const sent = new Set(lab.server.requests.map(({ body }) => JSON.stringify(body!["messages"])));
    const lines = await linesOf(lab, second);
    let fromFirst = 0;
    for (const { task, condition, replicate, response, cost_usd: cost } of lines) {
      const at = [FAITHFUL, NOTED, HASTY].findIndex((each) => each.condition === condition);
      const cell = await read<CellView>(view, `runs/${second}/rows/${task}/cells/${at}/${replicate}`);
      expect(cell).toMatchObject({ position: task, condition, replicate });
      expect(cell.steps.map(({ step }) => step)).toEqual(at === 1 ? ["reading", "strategy"] : ["strategy"]);
      expect(cell.steps.at(-1)!.text?.text ?? null).toBe(response);
      expect(cell.steps.reduce((sum, { costUsd }) => sum + costUsd!, 0)).toBeCloseTo(cost!, 12);
      for (const { messages, isAsSent, parameters, origin, fromRun, otherRuns, attempts, tokens } of cell.steps) {
        expect(sent).toContain(JSON.stringify(messages!.map(({ role, content }) => ({ role, content: content.text }))));
        expect(isAsSent).toBe(true);
        expect(parameters).toMatchObject({
          provider: "openai",
          model: "gpt-4o-mini",
          max_tokens: 200,
          temperature: 0.7,
        });
        expect(origin).toBe("live");
        expect(tokens!.completion).toBeGreaterThan(0);
        const isReused = attempts.every(({ outcome }) => outcome !== "succeeded");
        expect(fromRun).toBe(isReused ? first : second);
        expect(otherRuns).toEqual(isReused ? [first] : []);
        fromFirst += Number(isReused);
      }
    }
    expect(fromFirst).toBeGreaterThan(10);
    const failures = (await linesOf(lab, first)).filter(({ failure }) => failure !== null);
    for (const { task, condition, replicate, failure } of failures) {
      const at = [FAITHFUL, NOTED, HASTY].findIndex((each) => each.condition === condition);
      const { steps } = await read<CellView>(view, `runs/${first}/rows/${task}/cells/${at}/${replicate}`);
      const step = steps.find(({ state, attempts }) => state === "failed" && attempts.length > 0)!;
      expect(failure!.replace("reading: ", "")).toBe(step.failure);
      const last = step.attempts.at(-1)!;
      expect(last).toMatchObject({ outcome: step.failure, decision: "fail", isBatched: false });
      if (step.failure === "refusal") expect(last.refusal).toBe("I will not.");
      else expect(last).toMatchObject({ httpStatus: 400, message: expect.stringContaining("No.") as string });
      if (failure!.startsWith("reading: ")) expect(steps[1]).toMatchObject({ messages: null, text: null });
    }
  });

  test("has the statistics of `datagen stats`, by conditions and by kinds", async () => {
    const { differences, suspects: _, ...figures } = await figuresOf(view, first);
    const stats = async <T>(...flags: string[]) =>
      JSON.parse((await lab.datagen("stats", first, ...flags)).stdout) as T;
    const { differences: ofConditions, ...wanted } = await stats<RunStatistics>("--json");
    expect(figures).toEqual(wanted);
    const size = ({ d }: Difference) => Math.abs(d ?? 0);
    const bySize = (all: readonly Difference[]) => all.toSorted((one, other) => size(other) - size(one));
    expect(ofConditions.length).toBeGreaterThan(30);
    expect(differences.condition).toEqual(bySize(ofConditions));
    const { differences: ofKinds } = await stats<RunStatistics>("--by", "kind", "--json");
    expect(differences.kind).toEqual(bySize(ofKinds));
    expect(await refusalOf(view, "runs/none/statistics")).toEqual([404, 'there is no run "none"']);
    expect((await refusalOf(view, `runs/${first}/statistics?by=kind`))[0]).toBe(400);
  });

  test("compares two runs as `datagen diff` does, and finds the same input in the other", async () => {
    const { stdout } = await lab.datagen("diff", first, third, "--show", "1000", "--json");
    const diff = JSON.parse(stdout) as RunDiff;
    const comparison = await read<Comparison>(view, `runs/${first}/compare?with=${third}`);
    const sums = { compared: 0, identical: 0 };
    for (const { compared, identical } of diff.conditions.both) {
      sums.compared += compared;
      sums.identical += identical;
    }
    expect(comparison).toMatchObject({ ...sums, next: null, looked: 10 });
    const sorted = (pairs: readonly object[]) => pairs.map((pair) => JSON.stringify(pair)).toSorted();
    expect(sorted(comparison.pairs.map(({ a, b, ...pair }) => ({ ...pair, a: a.text, b: b.text })))).toEqual(
      sorted(
        diff.most_different!.map(({ condition, replicate, task_a, task_b, difference, a, b }) => {
          return { condition, replicate, positionA: task_a, positionB: task_b, difference, a: begun(a), b: begun(b) };
        }),
      ),
    );
    expect(comparison.pairs.map(({ difference }) => difference)).toEqual(
      comparison.pairs.map(({ difference }) => difference).toSorted((a, b) => b - a),
    );
    const partners = await Promise.all(rows(10).map((_, at) => partnerOf(view, first, at, third)));
    expect(partners).toEqual([9, 8, 7, 6, 5, 4, 3, 2, 1, null]);
    expect(await partnerOf(view, third, 10, first)).toBe(null);
  });
});

describe.concurrent("the API", () => {
  test("matches inputs by their ids, also where their texts have changed", async () => {
    await using lab = await openLab({
      config: { api_provider: "offline", agent_perspectives: [FAITHFUL] },
      data: rows(6).map((row, id) => ({ id: `row-${id}`, ...row })),
    });
    const a = (await lab.runConfig()).run!.id;
    await lab.space.write(
      "rows.json",
      rows(7)
        .slice(1)
        .map(({ input, ...row }, at) => ({ id: `row-${at + 1}`, ...row, input: `${input} Ja.` })),
    );
    const b = (await lab.runConfig()).run!.id;
    await using view = await openViewOf(lab);
    const partners = await Promise.all(rows(6).map((_, at) => partnerOf(view, a, at, b)));
    expect(partners).toEqual([null, 0, 1, 2, 3, 4]);
    const { pairs, compared } = await read<Comparison>(view, `runs/${a}/compare?with=${b}`);
    expect(compared).toBe(5);
    expect(pairs.every(({ positionA, positionB }) => positionA === positionB + 1)).toBe(true);
    expect((await read<GridRow[]>(view, `runs/${a}/rows?count=1`))[0]!.id).toBe("row-0");
  });

  test("shows shards with their gaps, imported runs, and prompts with columns and parameters of their own", async () => {
    await using lab = await openLab({
      config: {
        api_provider: "offline",
        agent_perspectives: [
          FAITHFUL,
          { ...HASTY, strategy: "Be quick.", model_config: { temperature: 0 } } as typeof HASTY,
        ],
        prompt_template: "{instruction} For {author}: {text}",
      },
      data: rows(7).map((row, at) => ({ ...row, author: `Author ${at}` })),
    });
    const shard = (await lab.runConfig(["--shard", "2/3"])).run!.id;
    const whole = (await lab.runConfig(["--fresh"])).run!.id;
    expect((await lab.datagen("import", "dataset.json")).code).toBe(0);
    await using view = await openViewOf(lab);
    expect((await read<ViewedRun>(view, `runs/${shard}`)).inputs).toEqual({ count: 2, first: 1, last: 4 });
    const grid = await read<GridRow[]>(view, `runs/${shard}/rows?from=2`);
    expect(grid.map(({ position }) => position)).toEqual([4]);
    expect(await refusalOf(view, `runs/${shard}/rows/2`)).toEqual([404, `run ${shard} has no input 2`]);
    expect(await partnerOf(view, shard, 4, whole)).toBe(4);
    expect(await partnerOf(view, whole, 3, shard)).toBe(null);
    const { steps } = await read<CellView>(view, `runs/${shard}/rows/4/cells/1/1`);
    expect(steps[0]!.messages![0]!.content.text).toBe(`Be quick. For Author 4: ${rows(5)[4]!.input}`);
    expect(steps[0]!.parameters).toMatchObject({ temperature: 0 });
    const imported = (await read<{ id: string; imported?: true }[]>(view, "runs")).find((run) => run.imported)!.id;
    const [row] = await read<GridRow[]>(view, `runs/${imported}/rows`);
    expect(row!.cells[0]![0]).toMatchObject({ state: "succeeded", isReused: false });
  });

  test("shows answers without reasoning, and texts with lone surrogates, NUL and very many characters", async () => {
    const long = "😀".repeat(600_000) + "x".repeat(900_000);
    const texts = ["<think>No.</think>\nYes.", "a\ud800b", "nul\u0000here", long, "<script>alert(1)</script>"];
    await using lab = await openLab({
      config: { agent_perspectives: [PLAIN], model_config: { reasoning_tags: "strip" }, max_answer_mb: 20 },
      data: rows(texts.length),
      server: { behave: ({ index }) => ({ kind: "text", text: texts[index]! }) },
    });
    const run = (await lab.runConfig(["--concurrency", "1"])).run!.id;
    await using view = await openViewOf(lab);
    const grid = await allRows(view, run);
    const shown = grid.map(({ cells }) => cells[0]![0]!.response!);
    expect(shown).toEqual([
      { text: "Yes.", length: 4, isCut: false },
      { text: "a\ud800b", length: 3, isCut: false },
      { text: "nul\u0000here", length: 8, isCut: false },
      { text: "😀".repeat(400), length: 1_500_000, isCut: true },
      { text: texts[4], length: 25, isCut: false },
    ]);
    const whole = await read<WholeRow>(view, `runs/${run}/rows/3`);
    expect(whole.cells[0]![0]!.response!.text).toHaveLength(600_000 + 1_000_000);
    expect(await allMatches(view, run, { lengthFrom: 1_500_000, lengthTo: 1_500_001 })).toEqual(["3 0 1"]);
    expect(await allMatches(view, run, { text: "\u0000" })).toEqual(["2 0 1"]);
    const { steps } = await read<CellView>(view, `runs/${run}/rows/0/cells/0/1`);
    expect(steps[0]!.text).toEqual({ text: "Yes.", length: 4, isCut: false });
  });

  test("computes statistics with suspects for one run at a time, and again once the run has changed", async () => {
    await using lab = await openLab({
      config: { agent_perspectives: [PLAIN] },
      data: rows(6),
      server: {
        behave: ({ index, prompt }) => {
          if (index < 2) return { kind: "refusal", text: "No." };
          return { kind: "text", text: `Certainly! ${prompt} ${"Long. ".repeat(100)}` };
        },
      },
      env: NO_JITTER,
    });
    const run = (await lab.runConfig([])).run!.id;
    const other = (await lab.runConfig(["--fresh"])).run!.id;
    await using view = await openViewOf(lab);
    const both = [read<Statistics>(view, `runs/${run}/statistics`), read<Statistics>(view, `runs/${other}/statistics`)];
    const steps = (await Promise.all(both)).map((found) => found.state === "computing" && found.step);
    expect(new Set(steps)).toEqual(new Set(["reading", "waiting"]));
    const { conditions, suspects } = await figuresOf(view, run);
    expect(conditions[0]).toMatchObject({ n: 4, failed: { refusal: 2 } });
    const listed = JSON.parse((await lab.datagen("stats", run, "--suspects", "--json")).stdout) as SuspectAnswer[];
    expect(listed.map(({ reasons }) => reasons)).toEqual([["chatter"], ["chatter"], ["chatter"], ["chatter"]]);
    expect(suspects).toEqual({
      count: 4,
      first: listed.map(({ task, replicate, reasons, response }) => ({
        position: task,
        condition: 0,
        replicate,
        reasons,
        response: { text: response.slice(0, 200), length: response.length, isCut: true },
      })),
    });
    expect((await figuresOf(view, other)).conditions[0]).toMatchObject({ n: 6 });
    expect((await read<Statistics>(view, `runs/${run}/statistics`)).state).toBe("ready");
    expect((await lab.datagen("resume", run, "--retry-failed")).code).toBe(0);
    expect((await read<Statistics>(view, `runs/${run}/statistics`)).state).toBe("computing");
    expect((await figuresOf(view, run)).conditions[0]).toMatchObject({ n: 6, failed: {} });
    expect((await read<Statistics>(view, `runs/${other}/statistics`)).state).toBe("ready");
    for (const quality of [1, 3]) {
      await lab.space.write("scores.jsonl", JSON.stringify({ task: 2, condition: PLAIN.condition, quality }));
      expect((await lab.datagen("scores", "import", other, "scores.jsonl")).code).toBe(0);
      const { scores } = (await figuresOf(view, other)).conditions[0]!;
      expect(scores).toMatchObject({ quality: { n: 1, mean: quality } });
    }
  });

  test("goes on where a slice has ended", async () => {
    await using lab = await openLab({
      config: { api_provider: "offline", agent_perspectives: [PLAIN] },
      data: rows(450),
    });
    const run = (await lab.runConfig()).run!.id;
    await using view = await openViewOf(lab);
    expect(await allMatches(view, run, { state: "succeeded" })).toEqual(rows(450).map((_, at) => `${at} 0 1`));
    const { rows: found, next, looked } = await read<Matches>(view, `runs/${run}/matches?state=succeeded&after=99`);
    expect(found[0]!.position).toBe(100);
    expect(found.length).toBeLessThanOrEqual(200);
    expect([looked, next]).toEqual([found.length, found.at(-1)!.position]);
    expect((await allRows(view, run)).map(({ position }) => position)).toEqual(rows(450).map((_, at) => at));
    expect(await read(view, `runs/${run}/matches?after=449`)).toEqual({ rows: [], next: null, looked: 0 });
  });

  test("refuses parameters that it does not know, with what it expects", async () => {
    await using lab = await openLab({ config: { api_provider: "offline", agent_perspectives: [PLAIN] } });
    const run = (await lab.runConfig()).run!.id;
    await using view = await openViewOf(lab);
    const bad: [string, number, string][] = [
      ["runs?all=1", 400, 'there is no parameter "all"'],
      [`runs/${run}/rows?from=-1`, 400, 'from: expected a whole number from 0 to 9007199254740991, found "-1"'],
      [`runs/${run}/rows?from=1.5`, 400, 'from: expected a whole number from 0 to 9007199254740991, found "1.5"'],
      [`runs/${run}/rows?from=`, 400, 'from: expected a whole number from 0 to 9007199254740991, found ""'],
      [`runs/${run}/rows?count=0`, 400, 'count: expected a whole number from 1 to 100, found "0"'],
      [`runs/${run}/rows?count=1&count=2`, 400, "the parameter count stands twice"],
      [`runs/${run}/rows/x`, 400, 'position: expected a whole number from 0 to 9007199254740991, found "x"'],
      [`runs/${run}/rows/9`, 404, `run ${run} has no input 9`],
      [`runs/${run}/rows/0/cells/1/1`, 404, `run ${run} has no condition 1 with a replicate 1`],
      [`runs/${run}/rows/0/cells/0/0`, 404, `run ${run} has no condition 0 with a replicate 0`],
      [`runs/${run}/matches?state=done`, 400, 'state: expected succeeded or failed or pending, found "done"'],
      [`runs/${run}/matches?truncated=true`, 400, 'truncated: expected 1 or 0, found "true"'],
      [`runs/${run}/matches?equal=all`, 400, 'equal: expected reference or other, found "all"'],
      [`runs/${run}/matches?lengthFrom=-1`, 400, 'lengthFrom: expected a number from 0 on, found "-1"'],
      [`runs/${run}/matches?costTo=NaN`, 400, 'costTo: expected a number from 0 on, found "NaN"'],
      [`runs/${run}/matches?costTo=1e999`, 400, 'costTo: expected a number from 0 on, found "1e999"'],
      [`runs/${run}/matches?text=`, 400, "text: expected a text of 1 to 1000 characters"],
      [`runs/${run}/matches?text=${"x".repeat(1_001)}`, 400, "text: expected a text of 1 to 1000 characters"],
      [`runs/${run}/matches?after=-2`, 400, 'after: expected a whole number from -1 to 9007199254740991, found "-2"'],
      [`runs/${run}/compare`, 400, "with: expected the id of a run, found none"],
      [`runs/${run}/compare?with=none`, 404, 'there is no run "none"'],
      [`runs/${run}/rows/0/partner`, 400, "run: expected the id of a run, found none"],
      ["runs/latest", 404, 'there is no run "latest"'],
      [`runs/${run.slice(0, 6)}`, 404, `there is no run "${run.slice(0, 6)}"`],
      [`runs/${run}x`, 404, `there is no run "${run}x"`],
      ["runs/__proto__/rows", 404, 'there is no run "__proto__"'],
      [`runs/${run}/watch`, 404, "there is nothing at this path"],
    ];
    for (const [path, status, message] of bad) {
      expect([path, ...(await refusalOf(view, path))]).toEqual([path, status, message]);
    }
    expect(view.running.stderr).not.toContain("Warning");
  });

  test("tells of a run that is deleted while it is watched", async () => {
    await using lab = await openLab({ config: { api_provider: "offline", agent_perspectives: [PLAIN] } });
    const run = (await lab.runConfig()).run!.id;
    await using view = await openViewOf(lab);
    expect((await lab.datagen("runs", "delete", run, "--yes")).code).toBe(0);
    expect(await refusalOf(view, `runs/${run}`)).toEqual([404, `there is no run "${run}"`]);
    expect(await read(view, "runs")).toEqual([]);
  });

  test("answers as before once a damaged database is mended", async () => {
    await using lab = await openLab({
      config: { api_provider: "offline", agent_perspectives: [PLAIN] },
      data: rows(3),
    });
    const run = (await lab.runConfig()).run!.id;
    // It lacks inputs of the first: whoever looks for them gets what the prototype of lists has.
    const { stdout } = await lab.datagen("run", "config.json", "--no-export", "--json", "--sample-size", "1");
    const other = (JSON.parse(stdout) as { run: { id: string } }).run.id;
    await using view = await openViewOf(lab);
    const database = new Database(lab.space.at(DATABASE));
    const asked = [`runs/${run}/rows`, `runs/${run}/distributions`, `runs/${run}/compare?with=${other}`];
    const ask = () => Promise.all(asked.map((path) => view.get(path)));
    const before = await ask();
    for (const position of ["__proto__", "constructor", "length"]) {
      database.prepare("update perspectives set position = ?").run(position);
      await ask();
      database.exec("update perspectives set position = 0");
      expect(await ask()).toEqual(before);
    }
    database.close();
  });

  test("says only that it failed where the database is damaged; the terminal says why", async () => {
    await using lab = await openLab({ config: { api_provider: "offline", agent_perspectives: [PLAIN] } });
    const run = (await lab.runConfig()).run!.id;
    await using view = await openViewOf(lab);
    const database = new Database(lab.space.at(DATABASE));
    database.exec("update runs set config = '{'");
    database.close();
    expect(await refusalOf(view, `runs/${run}`)).toEqual([500, "datagen failed to answer"]);
    expect((await view.running.waitFor(/Warning: a request of the page failed: (.*)/))[1]).toContain("not JSON");
    expect(await read<object[]>(view, "runs")).toHaveLength(1);
  });
});

describe.concurrent("datagen view", () => {
  test("begins with a run, and ends with Ctrl-C", async () => {
    await using lab = await openLab({ config: { api_provider: "offline", agent_perspectives: [PLAIN] } });
    const run = (await lab.runConfig()).run!.id;
    await using view = await openView(lab.start("view", "latest", "--json"));
    expect(view.url).toMatch(new RegExp(`^http://127\\.0\\.0\\.1:\\d+/#token=[\\w-]{43}&run=${run}$`));
    view.running.kill("SIGINT");
    expect(await view.running.done).toMatchObject({
      code: 0,
      stdout: `${JSON.stringify({ url: view.url }, null, 2)}\n`,
    });
  });

  test("opens the browser on a terminal, with a file that only the user can read", async () => {
    await using lab = await openLab({ config: { api_provider: "offline", agent_perspectives: [PLAIN] } });
    await lab.runConfig();
    const bin = await lab.space.write(
      "terminal.mjs",
      `process.stdout.isTTY = true; await import(${JSON.stringify(pathToFileURL(resolve("dist/main.js")).href)});`,
    );
    for (const name of ["open", "xdg-open"]) {
      await lab.space.write(`programs/${name}`, '#!/bin/sh\necho "$@" > "$OPENED.part"\nmv "$OPENED.part" "$OPENED"\n');
      await chmod(lab.space.at(`programs/${name}`), 0o755);
    }
    const opened = lab.space.at("opened");
    const PATH = `${lab.space.at("programs")}:${process.env["PATH"]}`;
    const options = { cwd: lab.space.path, bin, env: { PATH, OPENED: opened } };
    await using view = await openView(startDatagen(["view", "--json"], options));
    await vi.waitFor(() => expect(existsSync(opened)).toBe(true), { timeout: 20_000 });
    const words = (await lab.space.read("opened")).trim();
    expect(words).toMatch(/^file:\/\/\S+\.html$/);
    const page = fileURLToPath(words);
    expect(statSync(page).mode & 0o077).toBe(0);
    expect(statSync(dirname(page)).mode & 0o077).toBe(0);
    expect(readFileSync(page, "utf8")).toContain(`content="0;url=${view.url}"`);
    view.running.kill("SIGINT");
    expect((await view.running.done).code).toBe(0);
    expect(existsSync(dirname(page))).toBe(false);

    await rm(opened);
    const nobody = { signalAfter: { stderr: /Ctrl-C ends it/ } };
    expect(await datagen(["view", "--no-open"], { ...options, ...nobody })).toMatchObject({ code: 0 });
    expect(existsSync(opened)).toBe(false);
    const without = { ...options, env: { PATH: lab.space.at("none"), OPENED: opened } };
    const { code, stderr } = await datagen(["view"], { ...without, signalAfter: { stderr: /no browser was opened/ } });
    expect([code, stderr]).toEqual([0, expect.stringContaining("open the address yourself")]);
  });

  test("refuses a missing database, an unknown run, a port in use, and what is no origin", async () => {
    await using lab = await openLab({ config: { api_provider: "offline", agent_perspectives: [PLAIN] } });
    const nothing = await datagen(["view"], { cwd: lab.space.path });
    expect(nothing).toMatchObject({ code: 2, stdout: "" });
    expect(nothing.stderr).toContain("there is no database");
    await lab.runConfig();
    expect(await lab.datagen("view", "zzzz")).toMatchObject({ code: 2, stdout: "" });
    const port = String(lab.server.port);
    const taken = await lab.datagen("view", "--port", port);
    expect(taken).toMatchObject({ code: 2, stdout: "" });
    expect(taken.stderr).toContain(`the port ${port} is in use\nName another one with --port`);
    for (const origin of [
      "localhost:8080",
      "ftp://localhost",
      "http://localhost/page",
      "http://a:b@localhost",
      "null",
    ]) {
      const { code, stderr } = await lab.datagen("view", "--public-origin", origin);
      expect([code, stderr]).toEqual([2, expect.stringContaining(`found "${origin}"\nAn origin is a scheme`)]);
    }
    expect((await lab.datagen("view", "--port", "65536")).stderr).toContain("a port from 0 to 65535");
  });
});
