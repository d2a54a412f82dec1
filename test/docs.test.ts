import { chmod, cp, readdir, readFile, stat } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { WorkerReport } from "../src/app/worker/job-worker.ts";
import type { RunSummary } from "../src/app/runs/summary.ts";
import { ENGINES, startEngine, type TestEngine } from "./support/engines.ts";
import {
  datagen,
  environmentFor,
  queryRows,
  QUICK_START,
  type Result,
  type Running,
  startDatagen,
  type Workspace,
  workspace,
} from "./support/harness.ts";
import { type FakeHub, startExampleHub } from "./support/hub.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { DATABASE } from "./support/lab.ts";
import { type LoopbackServer, startServer } from "./support/server.ts";
import { isServing, serveAndEnd } from "./support/view.ts";

const ROOT = resolve(import.meta.dirname, "..");
const BIN = join(ROOT, "dist/main.js");

const PAGES = ["README.md", ...(await readdir(join(ROOT, "docs"))).map((name) => `docs/${name}`)].filter((name) =>
  name.endsWith(".md"),
);
const textOf = (page: string) => readFile(join(ROOT, page), "utf8");

/** The contents of fenced blocks of a language. */
function blocksOf(text: string, language: string): string[] {
  return [...text.matchAll(new RegExp(String.raw`^\`\`\`${language}\n(.*?)^\`\`\``, "gms"))].map(([, block]) => block!);
}

/** The lines that a reader would type: of blocks of a shell, of sessions, and in the middle of a sentence. */
function commandsOf(text: string): string[] {
  const typed = blocksOf(text, "sh").flatMap((block) => block.replaceAll("\\\n", " ").split("\n"));
  const sessions = blocksOf(text, "console").flatMap((block) =>
    block.split("\n").flatMap((line) => (line.startsWith("$ ") ? line.slice(2) : [])),
  );
  const spans = [...text.replaceAll(/^```.*?^```/gms, "").matchAll(/`(datagen\s[^`]+)`/g)].map(([, span]) =>
    span!.replaceAll(/\s+/g, " "),
  );
  return [
    ...new Set(
      [...typed, ...sessions, ...spans]
        .flatMap((line) => line.split(" && "))
        .map((line) => line.trim().replace(/^npx (?=datagen )/, ""))
        .filter((line) => line.startsWith("datagen ")),
    ),
  ];
}

/** What stands for the reader's own values, and a value for each. */
const PLACEHOLDERS: [placeholder: RegExp, value: string][] = [
  [/\s\[[^\]]*\]/g, ""],
  // The name of a command alone, in the middle of a sentence, stands for any use of it.
  [/^(datagen [a-z]+(?: (?!latest$)[a-z]+)?)$/, "$1 --help"],
  [/^datagen diff A B C/, "datagen diff $FIRST $SECOND latest"],
  [/^datagen diff A B/, "datagen diff $FIRST latest"],
  [/\b7g4k\b/g, "$FIRST"],
  [/\bc2xm\b/g, "$SECOND"],
  [/^(datagen scores import RUN) FILE/, "$1 bertscore.csv"],
  [/^(datagen (?:import|merge)) FILE/, "$1 old/translation.json"],
  [/\bdata pull NAME\b|\bhf:\/\/OWNER\/NAME(@\w+)?/g, "data pull hf://openai/gsm8k"],
  [/\bFILE\b/g, "old/translation.json"],
  [/\bOTHER(\.db)?\b/g, "other.db"],
  [/\bCONFIG\b/g, "configs/translation.json"],
  [/\bCOMMAND\b/g, "run"],
  [/\bRUN\b/g, "latest"],
  [/^datagen data show PATH/, "datagen data show articles.csv"],
  [/\bPATH\b/g, "copy.db"],
  [/ N\b/g, " 2"],
  [/https?:\/\/[^\s`]+/g, "$SERVER"],
  [/\b(rediss?|postgres):\/\/[^\s`]+/g, "$QUEUE"],
  // A person is asked, and a script says so.
  [/^(datagen runs delete .*)$/, "$1 --yes"],
];

function filledIn(line: string): string {
  return PLACEHOLDERS.reduce((text, [placeholder, value]) => text.replace(placeholder, value), line);
}

/** A folder with what the docs take for granted: examples, an old dataset, another database, and some runs. */
let prepared: Workspace;
let server: LoopbackServer;
let hub: FakeHub;
let engine: TestEngine;
let first: string;
let second: string;

beforeAll(async () => {
  server = await startServer({
    behave: ({ index }) => (index % 17 === 3 ? { kind: "refusal" } : index % 17 === 9 ? { kind: "length" } : undefined),
  });
  hub = await startExampleHub();
  engine = await startEngine(ENGINES[0]!);
  prepared = await workspace();
  await cp(join(ROOT, "configs"), prepared.at("configs"), { recursive: true });
  for (const name of ["translation", "summarization", "peer_review"]) {
    const inputs = JSON.parse(await readFile(join(ROOT, `data/${name}.json`), "utf8")) as object[];
    await prepared.write(`data/${name}.json`, inputs.slice(0, 4));
  }
  await prepared.write("articles.csv", "id,article,highlights\n1,The river rose.,Flood\n");
  await prepared.write("bertscore.csv", "task,condition,f1\n0,Faithful: accurate,0.9\n");
  await prepared.write("data/train-1.jsonl", '{"input": "The river rose."}\n');
  // The example of the page on prompts.
  const prompts = await textOf("docs/prompts.md");
  await prepared.write("letters.json", blocksOf(prompts, "jsonc")[0]);
  await prepared.write("letters.jsonl", blocksOf(prompts, "jsonl")[0]);
  // `datagen` is found as it is after an installation.
  await prepared.write("bin/datagen", `#!/bin/sh\nexec "${process.execPath}" ${QUICK_START.join(" ")} "${BIN}" "$@"\n`);
  await chmod(prepared.at("bin/datagen"), 0o755);
  const run = async (...args: string[]) => {
    const { stdout, stderr } = await shell(prepared, ["datagen run", ...args, "--json"].join(" "));
    expect(stderr).not.toMatch(/^Error/m);
    return JSON.parse(stdout) as { run: RunSummary; dataset: string };
  };
  const made = await run("configs/translation.json", "--model", "gpt-4o-mini", "--test", "--output", "old.json");
  first = made.run.id;
  second = (await run("configs/translation.json", "--provider", "offline", "--test")).run.id;
  await cp(prepared.at("old.json"), prepared.at("old/translation.json"));
  await run("configs/peer_review.json", "--test", "--provider", "offline", "--db", "other.db");
  await prepared.write("configs/sampled.json", {
    ...(await prepared.json<object>("configs/translation.json")),
    replicates: 2,
  });
  await run("configs/sampled.json", "--model", "gpt-4o-mini", "--test");
}, 120_000);

afterAll(async () => {
  await server[Symbol.asyncDispose]();
  await hub[Symbol.asyncDispose]();
  await engine[Symbol.asyncDispose]();
  await prepared[Symbol.asyncDispose]();
});

function variablesOf(space: Workspace): Record<string, string> {
  return {
    ...environmentFor(server),
    PATH: `${space.at("bin")}:${process.env["PATH"]}`,
    DATAGEN_API_KEY: "sk-of-datagen",
    HF_ENDPOINT: hub.url,
    FIRST: first,
    SECOND: second,
    SERVER: server.openaiUrl,
    QUEUE: engine.url,
  };
}

/** Runs a line as a shell does: without one where the line has nothing but words and variables. */
function shell(space: Workspace, line: string): Promise<Result> {
  const env = variablesOf(space);
  const plain = line.replaceAll(/\$([A-Z]+)/g, (variable, name: string) => env[name] ?? variable);
  const words = /^datagen ([\w@%+=:,./ -]+)$/.exec(plain)?.[1]?.split(" ");
  return words
    ? datagenInTurn(words, { cwd: space.path, env })
    : datagen(["-c", line], { cwd: space.path, program: "sh", env });
}

/** Starts a worker as a shell does. It goes on until it is told to end. */
async function startWorker(space: Workspace, line: string): Promise<Running> {
  const worker = startDatagen(["-c", `exec ${line} --json`], {
    cwd: space.path,
    program: "sh",
    env: variablesOf(space),
    timeoutMs: 300_000,
  });
  await worker.waitFor(/^Taking jobs from /m);
  return worker;
}

/** Ends workers after their last jobs. @returns how many each has answered */
async function endWorkers(workers: readonly Running[]): Promise<number[]> {
  for (const worker of workers) worker.kill("SIGTERM");
  const ended = await Promise.all(workers.map(({ done }) => done));
  return ended.map(({ code, stdout, stderr }) => {
    expect(code, stderr).toBe(0);
    return (JSON.parse(stdout) as WorkerReport).answered;
  });
}

/** The help of each command, which many pages name. */
const helps = new Map<string, Promise<Result>>();

function help(line: string): Promise<Result> {
  const known = helps.get(line) ?? shell(prepared, line);
  helps.set(line, known);
  return known;
}

async function copyOfPrepared(): Promise<Workspace> {
  const space = await workspace();
  await cp(prepared.path, space.path, { recursive: true });
  return space;
}

describe.concurrent("every datagen line runs", () => {
  test.for(PAGES)("of %s", { timeout: 300_000 }, async (page) => {
    await using space = await copyOfPrepared();
    const wrong: string[] = [];
    const workers: Running[] = [];
    for (const line of commandsOf(await textOf(page))) {
      const typed = filledIn(line);
      if (typed.startsWith("datagen worker --queue")) {
        workers.push(await startWorker(space, typed));
        continue;
      }
      const { code, stderr } = await (typed.endsWith(" --help")
        ? help(typed)
        : isServing(typed)
          ? serveAndEnd(line, { cwd: space.path })
          : shell(space, typed));
      // 1: the server refuses some calls; 3: batches are open, or nothing may be spent any more.
      if (code === null || code === 2 || code > 3) wrong.push(`${line}\n→ ${typed}: exit code ${code}\n${stderr}`);
    }
    expect(wrong.join("\n")).toBe("");
    // A later worker of a page may find that earlier ones have answered everything.
    const answered = await endWorkers(workers);
    expect(
      answered.slice(0, 2).every((jobs) => jobs > 0),
      `the workers answered ${answered.join(", ")}`,
    ).toBe(true);
  });
});

test("every question in SQL finds rows", async () => {
  for (const page of PAGES) {
    const text = await textOf(page);
    const inPython = blocksOf(text, "python").flatMap((block) =>
      [...block.matchAll(/"(select [^"]+)"/g)].map(([, sql]) => sql!),
    );
    const found = [...blocksOf(text, "sql").flatMap((block) => block.split(";\n")), ...inPython]
      .map((sql) => sql.trim().replace(/sqlite_scan\('data\/datagen\.db', '(\w+)'\)/, "$1"))
      .filter((sql) => sql !== "" && !sql.includes("'answers.jsonl'"))
      .map((sql) => ({ sql, rows: queryRows(prepared.at(DATABASE), sql).length }));
    expect(found.filter(({ rows }) => rows === 0)).toEqual([]);
  }
});

test("every config runs", async () => {
  await using space = await copyOfPrepared();
  for (const page of PAGES) {
    const configs = blocksOf(await textOf(page), "jsonc").filter((block) => block.includes('"data_config": { "input'));
    for (const config of configs) {
      await space.write("of-the-docs.json", config);
      const result = await shell(space, "datagen run of-the-docs.json --provider offline");
      expect(result, `${page}: ${result.stderr}`).toMatchObject({ code: 0 });
    }
  }
});

test("the examples of the library run", async () => {
  await using space = await copyOfPrepared();
  for (const example of blocksOf(await textOf("docs/library.md"), "ts")) {
    const bin = await space.write("example.mjs", example.replace('from "datagen"', `from "${ROOT}/dist/index.js"`));
    const { code, stdout, stderr } = await datagen([], { cwd: space.path, bin });
    expect(code, stderr).toBe(0);
    expect(stdout).toContain("Dataset saved to: ");
  }
});

/** The anchors that GitHub gives to the headings of a page. */
function anchorsOf(text: string): string[] {
  const headings = text.replaceAll(/^```.*?^```/gms, "").matchAll(/^#+ (.+)$/gm);
  return [...headings].map(([, heading]) =>
    heading!
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}\- _]/gu, "")
      .replaceAll(" ", "-"),
  );
}

test.for([...PAGES, "CONTRIBUTING.md", "CHANGELOG.md"])("every link of %s leads somewhere", async (page) => {
  const text = (await textOf(page)).replaceAll(/^```.*?^```/gms, "");
  const broken: string[] = [];
  for (const [, target] of text.matchAll(/\]\(([^)\s]+)\)/g)) {
    if (/^[a-z]+:/.test(target!)) continue;
    const [path = "", anchor] = target!.split("#");
    const file = path === "" ? page : join(dirname(page), path);
    const there = await stat(join(ROOT, file)).catch(() => null);
    if (there === null || (anchor !== undefined && !anchorsOf(await textOf(file)).includes(anchor)))
      broken.push(target!);
  }
  expect(broken).toEqual([]);
});

test("the README fits two screens, names every page of the docs, and keeps its two lines of installation", async () => {
  const readme = await textOf("README.md");
  expect(readme.split("\n").length - 1).toBeLessThanOrEqual(130);
  expect(PAGES.slice(1).filter((page) => !readme.includes(`(${page})`))).toEqual([]);
  expect(blocksOf(readme, "sh").slice(0, 2)).toEqual([
    "npm ci && npx datagen run configs/peer_review.json --provider offline\n",
    "npm ci && npm test\n",
  ]);
});

test("every page that a message names is there", async () => {
  const sources = (await readdir(join(ROOT, "src"), { recursive: true })).filter((name) => name.endsWith(".ts"));
  for (const name of sources) {
    for (const [page] of (await textOf(`src/${name}`)).matchAll(/docs\/\w+\.md/g)) expect(PAGES).toContain(page);
  }
});
