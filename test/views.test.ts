import { cp, symlink } from "node:fs/promises";
import { join, resolve } from "node:path";
import Database from "better-sqlite3";
import fc from "fast-check";
import { expect, test } from "vitest";
import type { RunSummary } from "../src/app/runs/summary.ts";
import { withoutReasoning } from "../src/plan/reasoning.ts";
import { ANSWER_COLUMNS } from "../src/store/answer-columns.ts";
import { configFor, datagen, rows, type Workspace } from "./support/harness.ts";
import { DATABASE, openLab, PLAIN } from "./support/lab.ts";

const ROOT = resolve(import.meta.dirname, "..");

const linesOf = (text: string) =>
  text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>);

/** Changes a lab's database. */
function change(space: Workspace, body: (database: Database.Database) => void): void {
  const database = new Database(space.at(DATABASE));
  try {
    body(database);
  } finally {
    database.close();
  }
}

test("v_answers has what JSON Lines has, of a run with failures, notes, replicates and open calls", async () => {
  const faults = ["refusal", "contentFilter", "empty", "noUsage", "length"] as const;
  await using lab = await openLab({
    config: { replicates: 2, max_attempts: 1 },
    data: rows(12),
    server: {
      behave: ({ index }) => {
        const kind = index % 3 === 0 ? faults[(index / 3) % faults.length] : undefined;
        return kind && { kind };
      },
    },
  });
  await lab.datagen("run", "config.json", "--name", "first");
  change(lab.space, (database) => {
    const some = "select id from calls where step = 'strategy' and state = 'failed' limit 2";
    database.exec(`update calls set state = 'pending', failure = null where id in (${some})`);
  });
  const { stdout } = await lab.datagen("export", "latest", "--format", "jsonl", "--allow-partial", "--output", "-");
  const exported = linesOf(stdout);
  const failures = [...new Set(exported.map(({ failure }) => failure))];
  expect(failures).toEqual(expect.arrayContaining([null, "pending", "refusal", "reading: refusal"]));

  const cells = lab.query<Record<string, unknown>>(
    `select v.* from v_answers v join perspectives p on p.condition = v.condition order by task, p.position, replicate`,
  );
  expect(cells).toEqual(exported.map((row) => expect.objectContaining(row)));
  expect(Object.keys(cells[0]!)).toEqual(ANSWER_COLUMNS);
});

test("v_answers says what a cell cost, how long it took, what was refused, and which run it comes from", async () => {
  await using lab = await openLab({
    config: {
      agent_perspectives: [
        { ...PLAIN, condition: "Faithful: plain" },
        { condition: "Lazy", reading: "Take notes.", strategy: "Be lazy." },
      ],
    },
    data: rows(2),
    server: { behave: ({ index }) => (index === 0 ? { kind: "refusal" } : undefined) },
  });
  const first = await lab.runConfig(["--concurrency", "1"]);
  const second = await lab.runConfig(["--concurrency", "1", "--name", "again"]);
  const [one, two] = [first.run!, second.run!];

  const cells = lab.query<Record<string, unknown>>("select * from v_answers order by run_name, task, condition");
  expect(cells).toHaveLength(8);
  const ofRun = (run: RunSummary) => cells.filter(({ run_id: id }) => id === run.id);
  for (const cell of cells) {
    expect(cell["kind"]).toBe(cell["condition"] === "Lazy" ? "Lazy" : "Faithful");
    expect(cell["id"]).toMatch(/^[0-9a-f]{16}$/);
  }
  expect(new Set(cells.map(({ id }) => id)).size).toBe(2);

  const [refused, ...answered] = ofRun(one);
  expect(refused).toMatchObject({ failure: "refusal", response: null, origin_run: null, latency_ms: null });
  expect(refused!["refusal"]).toMatch(/^I'm sorry/);
  for (const cell of answered) {
    expect(cell).toMatchObject({ refusal: null, origin_run: one.id, run_name: null, model: "gpt-4o-mini" });
    expect(cell["latency_ms"]).toBeGreaterThanOrEqual(0);
    expect(cell["cost_usd"]).toBeGreaterThan(0);
  }
  const [own, ...reused] = ofRun(two);
  expect(own).toMatchObject({ origin_run: two.id, failure: null, run_name: "again" });
  for (const cell of reused) expect(cell).toMatchObject({ cost_usd: 0, latency_ms: null, origin_run: one.id });

  for (const run of [one, two]) {
    const sum = ofRun(run).reduce((total, cell) => total + Number(cell["cost_usd"]), 0);
    expect(sum).toBeCloseTo(run.cost_usd!, 9);
  }
});

test("v_attempts and v_costs add up to the totals of runs, and an unknown cost is null", async () => {
  await using lab = await openLab({
    data: rows(3),
    server: { behave: ({ nth, index }) => (nth === 1 && index % 4 === 0 ? { kind: "noChoices" } : undefined) },
  });
  const { run } = await lab.runConfig([], { ...lab.spawned.env });
  const { run: unpriced } = await lab.runConfig(["--model", "gpt-unheard-of"]);
  for (const view of ["v_attempts", "v_costs"]) {
    const sums = lab.query(
      `select run_id, model, sum(prompt_tokens) prompt, sum(completion_tokens) completion, round(sum(cost_usd), 9) cost,
         sum(${view === "v_costs" ? "requests" : "1"}) requests from ${view} group by run_id order by model`,
    );
    expect(sums).toEqual([
      {
        run_id: run!.id,
        model: "gpt-4o-mini",
        prompt: run!.tokens.prompt,
        completion: run!.tokens.completion,
        cost: run!.cost_usd,
        requests: lab.server.requests.filter(({ model }) => model === "gpt-4o-mini").length,
      },
      {
        run_id: unpriced!.id,
        model: "gpt-unheard-of",
        prompt: unpriced!.tokens.prompt,
        completion: unpriced!.tokens.completion,
        cost: null,
        requests: lab.server.requests.filter(({ model }) => model === "gpt-unheard-of").length,
      },
    ]);
  }
  expect(run!.cost_usd).toBeGreaterThan(0);
  expect(unpriced!.cost_usd).toBeNull();
  const [at] = lab.query<{ day: string; started_at: string }>("select day, started_at from v_attempts limit 1");
  expect(at!.started_at).toMatch(new RegExp(String.raw`^${at!.day}T\d\d:\d\d:\d\d\.\d{3}Z$`));
  expect(lab.query("select distinct day from v_costs")).toEqual(lab.query("select distinct day from v_attempts"));
});

test("v_answers leaves reasoning out as datasets do", async () => {
  const part = fc.constantFrom("<think>", "</think>", " ", "\n", "\u00a0", "\u3000", "\t", "a", "think>", "", "\r\n");
  const texts = fc
    .sample(fc.array(part, { minLength: 1, maxLength: 9 }), { numRuns: 400, seed: 17 })
    .map((parts) => parts.join("") || "a");
  await using lab = await openLab({
    config: { agent_perspectives: [PLAIN], model_config: { reasoning_tags: "strip" }, api_provider: "offline" },
    data: rows(400),
  });
  await lab.runConfig();
  change(lab.space, (database) => {
    const replace = database.prepare("update answers set text = ?, checksum = null where id = ?");
    const ids = database.prepare<[], number>("select id from answers order by id").pluck().all();
    expect(ids).toHaveLength(texts.length);
    ids.forEach((id, at) => replace.run(texts[at], id));
  });
  const shown = lab.query<{ response: string; stored: string }>(
    `select v.response, a.text stored from v_answers v join tasks t on t.position = v.task
       join calls c on c.task_id = t.id join answers a on a.id = c.answer_id`,
  );
  expect(shown.map(({ response }) => response)).toEqual(shown.map(({ stored }) => withoutReasoning(stored)));
  expect(shown.filter(({ response, stored }) => response !== stored).length).toBeGreaterThan(50);
});

test("columns have types, but for texts that may be bytes", async () => {
  await using lab = await openLab({ config: { api_provider: "offline" } });
  await lab.runConfig();
  const untyped = ["v_answers", "v_attempts", "v_costs"].flatMap((view) =>
    lab.query(`select '${view}' view, name from pragma_table_info('${view}') where type = ''`),
  );
  expect(untyped).toEqual(["preparation", "response"].map((name) => ({ view: "v_answers", name })));
});

test("no view goes through all calls for one run", async () => {
  await using lab = await openLab({ config: { api_provider: "offline" } });
  await lab.runConfig();
  for (const view of ["v_answers", "v_attempts", "v_costs"]) {
    const plan = lab.query<{ detail: string }>(`explain query plan select * from ${view} where run_id = 'x'`);
    expect(plan.filter(({ detail }) => /^SCAN [a-z]{1,2}\b/.test(detail))).toEqual([]);
    expect(plan.filter(({ detail }) => detail.startsWith("SEARCH r "))).toHaveLength(1);
  }
});

test("a migration may rebuild what views read: datagen's are made again, and those of the user stay", async () => {
  await using lab = await openLab({ config: { api_provider: "offline" } });
  await lab.runConfig();
  const own = "create view mine as select condition, count(*) n from v_answers group by 1";
  const before = lab.query("select * from v_answers order by condition");
  change(lab.space, (database) => {
    database.exec(`${own}; drop view v_costs; drop view v_attempts; create view v_attempts as select 1`);
  });
  const version = lab.space.at("package");
  for (const name of ["package.json", "dist", "migrations"]) {
    await cp(join(ROOT, name), join(version, name), { recursive: true });
  }
  await symlink(join(ROOT, "node_modules"), join(version, "node_modules"));
  const journal = await lab.space.json<{ entries: { idx: number; when: number }[] }>(
    "package/migrations/meta/_journal.json",
  );
  const last = journal.entries.at(-1)!;
  journal.entries.push(Object.assign({}, last, { idx: last.idx + 1, when: last.when + 1, tag: "9999_next" }));
  await lab.space.write("package/migrations/meta/_journal.json", journal);
  const [perspectives] = lab.query<{ sql: string }>("select sql from sqlite_schema where name = 'perspectives'");
  await lab.space.write(
    "package/migrations/9999_next.sql",
    `${perspectives!.sql.replace("`perspectives`", "`__new`")};
     insert into __new select * from perspectives; drop table perspectives; alter table __new rename to perspectives;`,
  );
  const bin = join(version, "dist/main.js");
  expect(await datagen(["runs", "list"], { ...lab.spawned, bin })).toMatchObject({ code: 0 });

  expect(lab.query("select * from v_answers order by condition")).toEqual(before);
  expect(lab.query("select n from mine")).toEqual(configFor().agent_perspectives.map(() => ({ n: 1 })));
  for (const view of ["v_attempts", "v_costs"]) {
    expect(lab.query(`select sum(prompt_tokens) > 0 has from ${view}`)).toEqual([{ has: 1 }]);
  }
  // Copies have them too, and nothing that datagen does with a file is hindered.
  for (const args of [
    ["db", "check"],
    ["db", "compact"],
  ]) {
    expect(await datagen(args, { ...lab.spawned, bin })).toMatchObject({ code: 0 });
  }
  expect(lab.query("select * from v_answers order by condition")).toEqual(before);
});
