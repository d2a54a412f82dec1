import { existsSync } from "node:fs";
import { chmod, cp, mkdir, readdir, readFile } from "node:fs/promises";
import { delimiter, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import Database from "better-sqlite3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { RunSummary } from "../src/app/runs/summary.ts";
import {
  configFor,
  datagen,
  environmentFor,
  openDatabase,
  QUICK_START,
  type Result,
  rows,
  type SpawnOptions,
  startDatagen,
  type Workspace,
  workspace,
} from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { type FakeHub, startExampleHub } from "./support/hub.ts";
import { type LoopbackServer, startServer } from "./support/server.ts";
import { isServing, serveAndEnd } from "./support/view.ts";

const ROOT = resolve(import.meta.dirname, "..");
const BIN = join(ROOT, "dist/main.js");

const ESC = "\u001b";

/** What a terminal would obey, line breaks apart. */
// oxlint-disable-next-line no-control-regex -- control characters are what this is about
const OBEYED = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e\u2066-\u2069]/;

const HELP = await datagenInTurn(["--help"], { cwd: ROOT });

/** The commands that `datagen --help` lists, and those that stand above some of them. */
const COMMANDS = [
  "data",
  "db",
  "prices",
  "runs",
  "scores",
  ...matches(HELP.stdout, /^ {2}datagen ([a-z]+(?: [a-z]+)*) {2,}\S/gm),
];

const HELPS = new Map<string, Result>();
for (const command of COMMANDS) {
  HELPS.set(command, await datagenInTurn([...command.split(" "), "--help"], { cwd: ROOT }));
}

/** Without those that need a queue, which worker.test.ts types. */
const EXAMPLES = [...new Set([HELP, ...HELPS.values()].flatMap(({ stdout }) => examplesIn(stdout)))].filter(
  (line) => !line.includes("--queue"),
);

/** What the examples name as a server of the user's own. */
const OWN_SERVER = "http://localhost:11434/v1";

/** What the examples name as an earlier run. */
const EARLIER_RUN = "7g4k";

/** What they name as a run after it, which is not the newest. */
const LATER_RUN = "c2xm";

function examplesIn(help: string): string[] {
  return matches(help, /^\s*\$ (datagen [a-z].*)$/gm).filter((line) => line !== "datagen runs" && !/[<[]/.test(line));
}

function matches(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([, group = ""]) => group);
}

/** A workspace of a test, with the rows that `configFor` names. */
async function prepared(): Promise<Workspace> {
  const space = await workspace();
  await space.write("rows.json", rows(3));
  await space.write("config.json", configFor());
  return space;
}

/** With a run of its config that is done: made once, and copied. */
let finished: Workspace & { id: string };

beforeAll(async () => {
  const space = await prepared();
  finished = { ...space, id: await runOffline(space) };
});

afterAll(() => finished[Symbol.asyncDispose]());

async function copyOf(space: Workspace): Promise<Workspace> {
  const copy = await workspace();
  await cp(space.path, copy.path, { recursive: true });
  return copy;
}

/** Runs the config of a workspace offline. @returns the id of the run */
async function runOffline(space: Workspace, ...args: string[]): Promise<string> {
  const config = args[0]?.endsWith(".json") ? [] : ["config.json"];
  const { code, stdout, stderr } = await datagenInTurn(
    ["run", ...config, ...args, "--provider", "offline", "--no-export", "--json"],
    { cwd: space.path },
  );
  expect(code, stderr).toBe(0);
  return (JSON.parse(stdout) as { run: RunSummary }).run.id;
}

/** Changes the database of a workspace by hand. */
function change(space: Workspace, body: (database: Database.Database) => void): void {
  const database = new Database(space.at("data/datagen.db"));
  try {
    body(database);
  } finally {
    database.close();
  }
}

function all<Row>(space: Workspace, sql: string, ...parameters: unknown[]): Row[] {
  const database = openDatabase(space.at("data/datagen.db"));
  try {
    return database.prepare<unknown[], Row>(sql).all(...parameters);
  } finally {
    database.close();
  }
}

/** The bin with streams that say they are a terminal of 80 columns. */
async function terminal(space: Workspace): Promise<string> {
  return await space.write(
    "terminal.mjs",
    `for (const stream of [process.stdin, process.stdout, process.stderr]) stream.isTTY = true;
     process.stdout.columns = 80;
     await import(${JSON.stringify(pathToFileURL(BIN).href)});`,
  );
}

/** Expects a refusal in one or two sentences: on stderr, with nothing on stdout, and exit code 2. */
function expectRefusal({ code, stdout, stderr }: Result): void {
  expect(stderr).toMatch(/^Error: [^\n]+\n([^\n]+\n)?$/);
  expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
}

describe.concurrent("help", () => {
  test("datagen, datagen --help and datagen -h show the same overview with examples", async () => {
    expect(HELP).toMatchObject({ code: 0, stderr: "" });
    expect(examplesIn(HELP.stdout).length).toBeGreaterThanOrEqual(3);
    expect(await datagen([], { cwd: ROOT })).toEqual(HELP);
    expect(await datagen(["-h"], { cwd: ROOT })).toEqual(HELP);
  });

  test("the overview lists every command, with what it does", async () => {
    const files = await readdir(join(ROOT, "src/cli/commands"), { recursive: true });
    const commands = files
      .filter((file) => file.endsWith(".ts") && file !== "help.ts")
      .map((file) => file.replace(/\.ts$/, "").replaceAll("/", " "));
    expect(COMMANDS.toSorted()).toEqual(commands.toSorted());
  });

  test.for([...COMMANDS])("datagen %s --help shows its usage and an example", (command) => {
    const { code, stdout, stderr } = HELPS.get(command)!;
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    expect(stdout).toContain(`$ datagen ${command}`);
    const own = examplesIn(stdout).filter((line) => line.startsWith(`datagen ${command} `));
    expect(own.length).toBeGreaterThanOrEqual(1);
  });

  test("datagen runs shows its help", async () => {
    expect(await datagenInTurn(["runs"], { cwd: ROOT })).toEqual(HELPS.get("runs"));
  });

  test.for(["data", "db", "prices", "runs"])("datagen %s names the commands in its folder", async (group) => {
    const files = await readdir(join(ROOT, "src/cli/commands", group));
    const [, list = ""] = /^The commands for [a-z ]+: (.+)$/m.exec(HELPS.get(group)!.stdout) ?? [];
    expect(list.split(", ").toSorted()).toEqual(files.map((file) => file.replace(/\.ts$/, "")).toSorted());
  });

  test.for([...COMMANDS])("datagen help %s shows the same as datagen %s --help", async (command) => {
    const words = command.split(" ");
    expect(await datagenInTurn(["help", ...words], { cwd: ROOT })).toEqual(HELPS.get(command));
  });

  test("datagen help shows the overview", async () => {
    expect(await datagenInTurn(["help"], { cwd: ROOT })).toEqual(HELP);
  });

  test.for([...COMMANDS])("datagen %s --help names every value", (command) => {
    expect(HELPS.get(command)!.stdout).not.toMatch(/#\d|\bVALUE\b/);
  });

  test.for([30, 60, 80, 100, 140])("is wrapped between words to %i columns", async (columns) => {
    const env = { COLUMNS: String(columns) };
    for (const command of [[], ["help", "run"], ["help", "runs"], ["help", "export"]]) {
      const { stdout } = await datagenInTurn(command, { cwd: ROOT, env });
      // Lines to type, and words that are wider than the page, stay whole.
      const prose = stdout.split("\n").filter((line) => !/^ +(\$ |datagen |-)/.test(line));
      expect(prose.filter((line) => line.length > columns && line.trim().includes(" "))).toEqual([]);
      const words = (text: string) => text.split(/\s+/).join(" ");
      const wide = await datagenInTurn(command, { cwd: ROOT, env: { COLUMNS: "1000" } });
      expect(words(stdout)).toBe(words(wide.stdout));
    }
  });

  test("help leaves the folder as it was", async () => {
    await using space = await prepared();
    const before = await readdir(space.path, { recursive: true });
    await Promise.all(
      [["--help"], ["run", "--help"], ["runs", "list", "--help"]].map((a) => datagenInTurn(a, { cwd: space.path })),
    );
    expect(await readdir(space.path, { recursive: true })).toEqual(before);
  });

  test("datagen --version prints the version of the package, and nothing else", async () => {
    const { version } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8")) as { version: string };
    expect(await datagen(["--version"], { cwd: ROOT })).toMatchObject({ code: 0, stdout: `${version}\n`, stderr: "" });
  });
});

describe.concurrent("an example of a help text", () => {
  let server: LoopbackServer;
  let hub: FakeHub;
  /** With a finished run. */
  let lived: Workspace;
  let earlier: string;
  /** With a run on top of it that was stopped in the middle. */
  let stopped: Workspace;

  beforeAll(async () => {
    server = await startServer();
    hub = await startExampleHub();
    lived = await workspace();
    await cp(join(ROOT, "configs"), lived.at("configs"), { recursive: true });
    await mkdir(lived.at("data"));
    for (const name of await readdir(join(ROOT, "data"))) {
      // A few inputs of each file show that a line works.
      const inputs =
        name.endsWith(".json") && (JSON.parse(await readFile(join(ROOT, "data", name), "utf8")) as unknown[]);
      if (inputs) await lived.write(`data/${name}`, inputs.slice(0, 6));
    }
    await cp(await terminal(lived), lived.at("bin/terminal.mjs"));
    await lived.write(
      "bin/datagen",
      `#!/bin/sh\nexec "${process.execPath}" ${QUICK_START.join(" ")} "\${DATAGEN_BIN:-${BIN}}" "$@"\n`,
    );
    await chmod(lived.at("bin/datagen"), 0o755);
    earlier = await runOffline(lived, "configs/translation.json");
    const price = ["prices", "set", "llama3.2", "--input", "1", "--output", "1"];
    for (const flags of [[], ["--base-url", server.openaiUrl]]) {
      expect(await datagenInTurn([...price, ...flags], { cwd: lived.path })).toMatchObject({ code: 0 });
    }
    await lived.write("old/translation.json", {
      task_type: "translation",
      task_description: "German to English translation task",
      agent_perspectives: configFor().agent_perspectives.slice(0, 1),
      tasks: rows(3).map(({ input, reference }) => ({ context: input, responses: [reference], preparations: [null] })),
      metadata: { model_config: { model_name: "gpt-4o-mini" }, base_url: server.openaiUrl },
    });

    stopped = await copyOf(lived);
    await stopped.write("rows.json", rows(3));
    await stopped.write("config.json", configFor());
    server.behave = ({ index }) => ({ kind: "status", status: index === 0 ? 400 : 401 });
    const { code } = await datagenInTurn(["run", "config.json", "--concurrency", "1"], {
      cwd: stopped.path,
      env: environmentFor(server),
    });
    server.behave = undefined;
    expect(code).toBe(3);
  });

  afterAll(async () => {
    await Promise.all([lived, stopped, server, hub].map((resource) => resource[Symbol.asyncDispose]()));
  });

  /** Types a line into a shell that finds `datagen`. */
  async function type(line: string, space: Workspace, options: Partial<SpawnOptions> = {}): Promise<Result> {
    return await datagen(["-c", line], {
      cwd: space.path,
      program: "sh",
      ...options,
      env: { PATH: `${space.at("bin")}${delimiter}${process.env["PATH"]}`, ...options.env },
    });
  }

  const needsKey = EXAMPLES.filter(
    (line) => /^datagen run |--pilot/.test(line) && !/--provider offline|--base-url/.test(line),
  );

  test("stands in the help of every kind: with and without a key, and on an earlier run", () => {
    expect(needsKey.length).toBeGreaterThan(0);
    for (const word of ["--provider offline", OWN_SERVER, "resume latest", "export latest", "runs delete latest"]) {
      expect(EXAMPLES.some((line) => line.includes(word))).toBe(true);
    }
  });

  test.for(EXAMPLES)("works as typed: %s", async (line) => {
    await using space = await copyOf(line.startsWith("datagen resume") ? stopped : lived);
    if (line.includes("my_study.json")) await type("datagen init my_study", space);
    await space.write("bertscore.csv", "task,condition,f1\n0,Faithful: accurate,0.9\n");
    await space.write("scored.jsonl", '{"task":0,"condition":"Faithful: accurate","response":"A","f1":0.9}\n');
    await space.write("articles.csv", "article,highlights\nThe river rose.,Flood\n");
    await space.write("data/train-1.jsonl", '{"document": "The river rose."}\n');
    // As from another machine.
    if (line.includes("other.db")) await cp(space.at("data/datagen.db"), space.at("other.db"));
    const later = line.includes(LATER_RUN) ? await runOffline(space, "configs/translation.json") : "";
    // An earlier run and the newest are two.
    if ((/^datagen (?:export|stats)/.test(line) && line.includes(EARLIER_RUN)) || later !== "")
      await runOffline(space, "configs/translation.json");
    const asks = line.startsWith("datagen runs delete") && !line.includes("--yes");
    const typed = line
      .replace(OWN_SERVER, server.openaiUrl)
      .replace(EARLIER_RUN, earlier.slice(0, 6))
      .replace(LATER_RUN, later);
    const run = isServing(typed)
      ? (options: Partial<SpawnOptions>) => serveAndEnd(typed, { cwd: space.path, ...options })
      : (options: Partial<SpawnOptions>) => type(typed, space, options);
    const result = await run({
      ...(asks && { input: "y\n" }),
      env: {
        ...environmentFor(server),
        HF_ENDPOINT: hub.url,
        ...(asks && { DATAGEN_BIN: space.at("bin/terminal.mjs") }),
      },
    });
    expect(result.stderr).not.toMatch(/error/i);
    // The run that was stopped has a failed call, which a plain resume leaves as it is.
    expect(result.code, result.stderr).toBe(
      line.startsWith("datagen resume") && !line.includes("--retry-failed") ? 1 : 0,
    );
    const [, command = "", sub = ""] = line.split(" ");
    if (command === "run" || command === "resume") {
      for (const path of result.stdout.trim().split("\n")) {
        const dataset = await space.json<{ tasks: object[] }>(path);
        expect(dataset.tasks.length).toBeGreaterThan(0);
      }
    } else if (command === "export") {
      const output = /--output (\S+)/.exec(line)?.[1];
      if (output === "-") expect(result.stdout.trim().split("\n")).toHaveLength(1);
      else expect(existsSync(space.at(output ?? result.stdout.trim()))).toBe(true);
    } else if (command === "view" && line.includes("--export")) {
      expect(existsSync(space.at(result.stdout.trim()))).toBe(true);
    } else if (isServing(line)) {
      expect(result.stdout).toMatch(/^http:\/\/(127\.0\.0\.1|localhost):\d+\/#token=[\w-]{43}(&run=\w{8})?\n$/);
    } else if (command === "import") {
      const imported = all<{ public_id: string }>(space, "select * from runs where imported is not null");
      expect(result.stdout).toBe(`${imported[0]!.public_id}\n`);
    } else if (command === "init") {
      for (const path of result.stdout.trim().split("\n")) expect(existsSync(space.at(path))).toBe(true);
    } else if (command === "data" && sub === "pull") {
      const [path = ""] = /data\/[^"]+\/test-00000-of-00001\.parquet/.exec(result.stdout) ?? [];
      expect(existsSync(space.at(path)), result.stdout).toBe(true);
    } else if (command === "completion") {
      const script = line.includes(">") ? await space.read("datagen.fish") : result.stdout;
      expect(script).toMatch(/^# Completes datagen in (bash|fish)\.\n/);
    } else if (sub === "delete") {
      expect(all(space, "select * from runs")).toEqual([]);
    } else if (command === "prices") {
      const [, , , model = ""] = line.split(" ");
      const kept = all(space, "select * from user_prices where model = ?", model);
      if (sub === "set") expect(kept.length).toBeGreaterThan(0);
      else if (sub === "unset") expect(kept).toHaveLength(1);
      else expect(result.stdout.toLowerCase()).toContain(sub === "list" ? model : "datagen prices list");
    } else if (command === "check") {
      expect(result.stdout).toMatch(/^A run would work\.$|"ok": true/m);
    } else if (command === "models") {
      expect(result.stdout).toContain("gpt-4o-mini");
    } else if (line.includes("other.db")) {
      expect(result.stdout).toMatch(/^run \w+: here already$/m);
    } else if (command === "scores") {
      expect(result.stdout).toBe("f1: 1 cell\n");
    } else if (command === "data") {
      expect(result.stdout).toMatch(/^ +"input": "(article|document)"|"fields": \{ "input": "|datagen data show/m);
    } else if (command === "db") {
      const says: Record<string, RegExp> = {
        "": /datagen db check/,
        check: /\d+ rules checked, 0 broken|"violations": \[\]/,
        backup: /^data\/backup\.db: a copy of .* with 1 run, |"runs": 1,/,
        compact: /MB before, .* MB after|"after_bytes": \d+/,
      };
      expect(result.stdout).toMatch(says[sub]!);
    } else if (line.includes("> again.json")) {
      expect(await space.json("again.json")).toMatchObject({ task_type: "translation", api_provider: "offline" });
    } else if (command === "preview") {
      expect(result.stdout).toMatch(/^gpt-4o-mini of openai \(chat\); [^]*Nothing was sent\.\n|"messages": \[/);
    } else if (line.includes("> inputs.jsonl")) {
      expect(await space.read("inputs.jsonl")).toMatch(/^\{"input":".*"\}\n/);
    } else if (command === "estimate") {
      expect(result.stdout).toMatch(/^inputs +\d+\ncalls +\d+|"to_send": \d+/);
      expect(all(space, "select * from runs")).toHaveLength(line.includes("--pilot") ? 2 : 1);
    } else if (sub === "cancel") {
      expect(result.stderr).toMatch(/^Run \w{8} completed: /m);
    } else if (line.includes("> statistics.csv")) {
      expect(await space.read("statistics.csv")).toMatch(/^run,condition,n,/);
    } else if (line.includes("--suspects")) {
      expect(result.stdout).toBe("No answer looks wrong.\n");
    } else if (line.includes("--failures")) {
      expect(result.stdout).toBe("No request failed.\n");
    } else {
      expect(result.stdout).toContain(all<{ public_id: string }>(space, "select * from runs")[0]!.public_id);
    }
    if (line.includes("| head")) expect(JSON.parse(result.stdout)).toHaveProperty("response");
    if (line.includes("--json")) expect(JSON.parse(result.stdout)).toBeTypeOf("object");
  });

  test.for(needsKey)("says only which key is missing, where it is: %s", async (line) => {
    await using space = await copyOf(lived);
    await type("datagen init my_study", space);
    const result = await type(line, space);
    expectRefusal(result);
    expect(result.stderr).toMatch(/^Error: (OPENAI|TOGETHER)_API_KEY is not set.*\nSet .*\.env.*--provider offline/);
    expect(all(space, "select * from runs")).toHaveLength(1);
  });
});

describe.concurrent("words that are no command", () => {
  test.for([
    ["frobnicate"],
    ["--frobnicate"],
    ["runs", "frobnicate"],
    ["run"],
    ["run", "a.json", "b.json"],
    ["run", "config.json", "--frobnicate"],
    ["run", "config.json", "--model"],
    ["run", "config.json", "--provider", "nobody"],
    ["run", "config.json", "--concurrency", "many"],
    ["run", "config.json", "--concurrency", "0"],
    ["run", "config.json", "--sample-size", "1.5"],
    ["run", "config.json", "--sample-size", "-1"],
    ["run", "config.json", "--base-url", "localhost"],
    ["estimate"],
    ["estimate", "config.json", "--pilot", "0"],
    ["estimate", "config.json", "--pilot", "1.5"],
    ["estimate", "config.json", "--concurrency", "2"],
    ["resume"],
    ["resume", "latest", "--concurrency", "0"],
    ["runs", "list", "latest"],
    ["runs", "show"],
    ["runs", "delete"],
    ["export"],
    ["export", "latest", "--format", "xml"],
    ["import"],
    ["init", "a", "b"],
    ["init", "a/b"],
    ["init", "../a"],
    ["init", "a.json"],
    ["completion"],
    ["completion", "powershell"],
    ["import", "old.json"],
    ["import", "config.json", "--provider", "nobody"],
    ["import", "config.json", "--base-url", "localhost"],
    [`${ESC}[2J`],
  ])("are refused on stderr, with exit code 2: %j", async (args) => {
    await using space = await prepared();
    const result = await datagenInTurn(args, { cwd: space.path, env: { OPENAI_API_KEY: "sk-none" } });
    expectRefusal(result);
    expect(result.stderr).not.toMatch(OBEYED);
    if (existsSync(space.at("data/datagen.db"))) expect(all(space, "select * from runs")).toEqual([]);
  });

  test.for([
    ["run", "CONFIG is missing: the path of a config file"],
    ["runs show", "RUN is missing: the id of a run, or `latest`"],
    ["diff", "RUN is missing: the id of a run, or `latest`"],
    ["run a.json b.json", '"b.json" is one argument too many: `datagen run` takes only CONFIG'],
    ["runs list latest", '"latest" is one argument too many: `datagen runs list` takes no arguments'],
    ["run a.json --max-cost", "--max-cost needs a value: --max-cost USD"],
    ["run a.json --model --test", "--model needs a value: --model MODEL"],
    ["run a.json --tset", '"--tset" is not a flag of `datagen run`; did you mean `--test`?'],
    ["run a.json --frobnicate", '"--frobnicate" is not a flag of `datagen run`'],
    ["rnu a.json", '"rnu" is not a command of `datagen`; did you mean `datagen run`?'],
    ["help rnu", '"rnu" is not a command of `datagen`; did you mean `datagen run`?'],
    ["list", '"list" is not a command of `datagen`; did you mean `datagen runs list`?'],
    ["runs lits", '"lits" is not a command of `datagen runs`; did you mean `datagen runs list`?'],
    ["runs frobnicate", '"frobnicate" is not a command of `datagen runs`'],
    ["--versoin", '"--versoin" is not a flag of `datagen`; did you mean `--version`?'],
  ])("are named, with what they may mean: datagen %s", async ([line = "", message]) => {
    const result = await datagenInTurn(line.split(" "), { cwd: ROOT });
    expectRefusal(result);
    expect(result.stderr.split("\n")[0]).toBe(`Error: ${message}`);
  });

  test("name the help that explains the command", async () => {
    const { stderr } = await datagen(["export", "latest", "--frobnicate"], { cwd: ROOT });
    expect(stderr).toContain('"--frobnicate"');
    expect(stderr).toContain("datagen export --help");
  });
});

describe.concurrent("output", () => {
  test("has no escape codes in a pipe, whatever the terminal can do", async () => {
    await using space = await prepared();
    const env = { NO_COLOR: undefined, TERM: "xterm-256color", COLORTERM: "truecolor" };
    for (const args of [
      ["--help"],
      ["runs", "--help"],
      ["run", "--help"],
      ["run", "config.json", "--provider", "offline"],
      ["runs", "list"],
      ["runs", "show", "latest"],
      ["runs", "show", "nothing"],
    ]) {
      const { stdout, stderr } = await datagenInTurn(args, { cwd: space.path, env });
      expect(stdout + stderr).not.toMatch(OBEYED);
    }
  });

  test("has colours on a terminal only without NO_COLOR", async () => {
    await using space = await prepared();
    const options = { cwd: space.path, bin: await terminal(space) };
    const coloured = await datagen(["run", "--help"], { ...options, env: { NO_COLOR: undefined } });
    expect(coloured.stdout).toContain(ESC);
    const plain = await datagen(["run", "--help"], { ...options, env: { NO_COLOR: "1" } });
    expect(plain.stdout).not.toContain(ESC);
  });

  test("of a run has the id on stderr and the path of the dataset, alone, on stdout", async () => {
    await using space = await prepared();
    const { stdout, stderr } = await datagenInTurn(["run", "config.json", "--provider", "offline"], {
      cwd: space.path,
    });
    expect(stdout).toMatch(/^data\/agents\/translation_gpt_4o_mini_\d{8}_\d{6}\.json\n$/);
    const [{ public_id: id } = { public_id: "" }] = all<{ public_id: string }>(space, "select * from runs");
    expect(stderr).toMatch(new RegExp(`^Run ${id}: `, "m"));
  });
});

describe.concurrent("datagen runs list", () => {
  /** The rows of the table, without its head. */
  async function list(width: number, cwd = finished.path): Promise<string[]> {
    const { code, stdout, stderr } = await datagenInTurn(["runs", "list"], { cwd, env: { COLUMNS: String(width) } });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    return stdout.trimEnd().split("\n").slice(1);
  }

  test("says how to begin where there is no run, and is an empty array as JSON", async () => {
    await using empty = await prepared();
    const text = await datagenInTurn(["runs", "list"], { cwd: empty.path });
    const note = "There is no database data/datagen.db yet.\n";
    expect(text).toMatchObject({ code: 0, stderr: note });
    expect(text.stdout).toContain("datagen run CONFIG");
    const json = await datagenInTurn(["runs", "list", "--json"], { cwd: empty.path });
    expect(json).toMatchObject({ code: 0, stdout: "[]\n", stderr: note });
  });

  test.for([80, 200])("shows one run within %i columns", async (width) => {
    const lines = await list(width);
    expect(lines).toHaveLength(1);
    expect(lines[0]).toMatch(new RegExp(`^${finished.id} +completed .*18/18`));
    expect(lines[0]!.length).toBeLessThanOrEqual(width);
  });

  test("as JSON is what the documentation promises", async () => {
    const { stdout } = await datagenInTurn(["runs", "list", "--json"], { cwd: finished.path });
    const [run] = JSON.parse(stdout) as RunSummary[];
    const [totals] = all<{ prompt: number; completion: number }>(
      finished,
      "select sum(prompt_tokens) as prompt, sum(completion_tokens) as completion from attempts",
    );
    const { prompt, completion } = totals!;
    expect(prompt).toBeGreaterThan(0);
    expect(run).toEqual({
      id: finished.id,
      name: null,
      experiment: null,
      status: "completed",
      task_type: "translation",
      model: "gpt-4o-mini",
      provider: "offline",
      tasks: 3,
      perspectives: 4,
      calls: { total: 18, succeeded: 18, failed: 0, pending: 0, reused: 0, truncated: 0 },
      tokens: { prompt, completion, total: prompt + completion, cached: 0, reasoning: 0, estimated: false },
      cost_usd: 0,
      created_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
      finished_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
    });
  });

  describe("with 300 runs", () => {
    let many: Workspace;
    const ids = Array.from({ length: 300 }, (_, at) => `${String(at).padStart(4, "0")}wxyz`);

    beforeAll(async () => {
      many = await copyOf(finished);
      change(many, (database) => {
        database.exec("delete from attempts; delete from calls; delete from tasks; delete from perspectives");
        const columns = database.prepare<[], string>("select name from pragma_table_info('runs')").pluck().all();
        const own = columns.filter((name) => !["id", "public_id", "created_at", "name"].includes(name)).join();
        const copy = database.prepare(
          `insert into runs (public_id, created_at, name, ${own}) select ?, created_at + ?, ?, ${own} from runs where id = 1`,
        );
        const named = (at: number) => (at % 2 === 0 ? `number ${at} of the runs of a long afternoon` : null);
        for (const [at, each] of ids.entries()) copy.run(each, 1000 * (at + 1), named(at));
        database.exec("delete from runs where id = 1; update runs set calls_failed = 2, calls_succeeded = 16");
      });
    });

    afterAll(() => many[Symbol.asyncDispose]());

    test.for([80, 200])("shows all of them within %i columns, the newest first", async (width) => {
      const lines = await list(width, many.path);
      expect(lines.map((line) => line.slice(0, 8))).toEqual([...ids.toReversed(), "300 runs"]);
      expect(lines.at(-1)).toContain("4800/5400");
      for (const line of lines.slice(0, -1)) {
        expect(line.length).toBeLessThanOrEqual(width);
        expect(line).toContain("failed");
        expect(line).toContain("16/18");
      }
    });

    test("as JSON has all of them, the newest first", async () => {
      const { stdout } = await datagenInTurn(["runs", "list", "--json"], { cwd: many.path });
      expect((JSON.parse(stdout) as RunSummary[]).map((run) => run.id)).toEqual(ids.toReversed());
    });

    test("fits a terminal that says how wide it is", async () => {
      const { stdout } = await datagen(["runs", "list"], { cwd: many.path, bin: await terminal(many) });
      for (const line of stdout.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
    });
  });
});

describe.concurrent("names that a terminal would obey", () => {
  const name = `${ESC}[2Ja\nb\u009b31m`;
  const taskType = `task${ESC}]0;x\u0007`;
  const model = `model\r${ESC}[1A\u202e`;

  test("are shown as text wherever a run is shown, and kept as they are in JSON", async () => {
    await using space = await prepared();
    const [first, ...others] = configFor().agent_perspectives;
    const perspectives = [{ ...first!, condition: `plain${ESC}[5m` }, ...others];
    await space.write(
      "config.json",
      configFor({ task_type: taskType, model_config: { model_name: model }, agent_perspectives: perspectives }),
    );
    const run = await datagenInTurn(["run", "config.json", "--provider", "offline", "--name", name], {
      cwd: space.path,
    });
    expect(run.code, run.stderr).toBe(0);
    const list = await datagenInTurn(["runs", "list"], { cwd: space.path });
    const show = await datagenInTurn(["runs", "show", "latest"], { cwd: space.path });
    for (const { stdout, stderr } of [run, list, show]) expect(stdout + stderr).not.toMatch(OBEYED);
    expect(list.stdout.trimEnd().split("\n")).toHaveLength(2);
    for (const { stdout } of [list, show]) {
      for (const shown of ["\\x1b[2Ja b\\x9b31m", "task\\x1b]0;x\\x07", "\\x1b[1A\\u202e"])
        expect(stdout).toContain(shown);
    }
    expect(show.stdout).toContain("plain\\x1b[5m");

    const json = await datagenInTurn(["runs", "list", "--json"], { cwd: space.path });
    expect(JSON.parse(json.stdout)).toMatchObject([{ name, task_type: taskType, model }]);
    expect(existsSync(space.at(run.stdout.trim()))).toBe(true);
  });
});

describe.concurrent("datagen runs show", () => {
  test("shows the calls of each perspective and step, and the run's config as JSON", async () => {
    await using space = await prepared();
    const id = await runOffline(space, "--name", "pilot");
    const text = await datagenInTurn(["runs", "show", id], { cwd: space.path, env: { COLUMNS: "80" } });
    expect(text).toMatchObject({ code: 0, stderr: "" });
    expect(text.stdout).toContain(`${id} (pilot)`);
    expect(text.stdout).toMatch(/Plain +strategy +3\/3/);
    expect(text.stdout).toMatch(/From notes +reading +3\/3[^]*From notes +strategy +3\/3/);

    const { stdout } = await datagenInTurn(["runs", "show", id, "--json"], { cwd: space.path });
    const shown = JSON.parse(stdout) as { run: RunSummary; steps: object[]; failures: object[]; config: object };
    expect(shown.run).toMatchObject({ id, name: "pilot", status: "completed" });
    expect(shown.steps).toHaveLength(6);
    expect(shown.failures).toEqual([]);
    expect(shown.config).toMatchObject({ ...configFor(), api_provider: "offline" });
  });

  test("shows what failed, how often and why", async () => {
    await using space = await prepared();
    await using server = await startServer({
      behave: ({ index }) => (index < 2 ? { kind: "status", status: 400, message: "too spicy" } : undefined),
    });
    const run = await datagenInTurn(["run", "config.json", "--no-export"], {
      cwd: space.path,
      env: environmentFor(server),
    });
    expect(run.code).toBe(1);
    const { stdout } = await datagenInTurn(["runs", "show", "latest"], { cwd: space.path });
    expect(stdout).toMatch(/bad_request +2 +2 +too spicy/);
  });
});

describe.concurrent("datagen runs delete", () => {
  const counts = (space: Workspace) =>
    Object.fromEntries(
      ["runs", "perspectives", "tasks", "calls", "attempts", "answers", "texts", "leases"].map((table) => [
        table,
        all<{ count: number }>(space, `select count(*) as count from ${table}`)[0]!.count,
      ]),
    );

  test("needs --yes without a terminal", async () => {
    await using space = await copyOf(finished);
    const before = counts(space);
    const refused = await datagenInTurn(["runs", "delete", finished.id], { cwd: space.path });
    expectRefusal(refused);
    expect(refused.stderr).toContain("--yes");
    expect(counts(space)).toEqual(before);
  });

  test.for([
    { what: "y", answer: "y\n", removed: true },
    { what: "YES", answer: "YES\n", removed: true },
    { what: "n", answer: "n\n", removed: false },
    { what: "nothing", answer: "\n", removed: false },
    { what: "yellow", answer: "yellow\n", removed: false },
    { what: "the end of the input", answer: "", removed: false },
  ])("asks on a terminal, and does as it is told by $what", async ({ answer, removed }) => {
    await using space = await copyOf(finished);
    const options = { cwd: space.path, bin: await terminal(space), input: answer };
    const { code, stderr } = await datagen(["runs", "delete", "latest"], options);
    expect(stderr).toMatch(/Remove run .* with 18 answers that no other run has\? \[y\/N\]/);
    expect(stderr).toContain(removed ? "was removed" : "Nothing was removed");
    expect({ code, runs: counts(space)["runs"] }).toEqual({ code: 0, runs: removed ? 0 : 1 });
  });

  test("removes the run's rows, and the texts and answers that no other run uses", async () => {
    await using space = await copyOf(finished);
    const kept = finished.id;
    await space.write("rows.json", [...rows(5).toReversed(), { input: "Nur hier.", reference: rows(1)[0]!.input }]);
    const shared = counts(space);
    const removed = await runOffline(space);
    // As a run does that reuses an answer: the last call of the one that stays points to an answer of the other.
    change(space, (database) => {
      const [own, other] = database
        .prepare<[], number>("select max(answer_id) from calls group by run_id order by run_id")
        .pluck()
        .all();
      database.prepare("update calls set answer_id = ? where answer_id = ?").run(other, own);
      database.prepare("delete from answers where id = ?").run(own);
    });
    const before = await datagenInTurn(["export", kept, "--output", "-"], { cwd: space.path });

    const { code, stdout, stderr } = await datagenInTurn(["runs", "delete", removed, "--yes"], { cwd: space.path });
    expect({ code, stdout }).toEqual({ code: 0, stdout: "" });
    expect(stderr).toBe(
      `Run ${removed} was removed, with 17 answers that no other run has; 19 more stay with other runs.\n`,
    );
    expect(counts(space)).toEqual(shared);
    expect(all(space, "pragma foreign_key_check")).toEqual([]);
    expect(before.code).toBe(0);
    expect(await datagenInTurn(["export", kept, "--output", "-"], { cwd: space.path })).toEqual(before);

    const json = await datagenInTurn(["runs", "delete", kept, "--yes", "--json"], { cwd: space.path });
    expect(JSON.parse(json.stdout)).toMatchObject({ deleted: kept });
    expect(new Set(Object.values(counts(space)))).toEqual(new Set([0]));
  });

  test("leaves datasets that were exported", async () => {
    await using space = await prepared();
    const { stdout } = await datagenInTurn(["run", "config.json", "--provider", "offline"], { cwd: space.path });
    await datagenInTurn(["runs", "delete", "latest", "--yes"], { cwd: space.path });
    expect(existsSync(space.at(stdout.trim()))).toBe(true);
  });

  test("refuses a run that a process executes, until that process is gone", async () => {
    await using space = await prepared();
    await using server = await startServer({ behave: () => ({ kind: "hang" }) });
    await using run = startDatagen(["run", "config.json"], { cwd: space.path, env: environmentFor(server) });
    await expect.poll(() => server.requests.length, { timeout: 20_000 }).toBeGreaterThan(0);
    const listed = await datagenInTurn(["runs", "list", "--json"], { cwd: space.path });
    expect(JSON.parse(listed.stdout)).toMatchObject([{ status: "running" }]);

    const refused = await datagenInTurn(["runs", "delete", "latest", "--yes"], { cwd: space.path });
    expectRefusal(refused);
    expect(refused.stderr).toContain(`executed by process ${run.child.pid}`);
    expect(counts(space)).toMatchObject({ runs: 1, calls: 18 });

    run.kill();
    await run.done;
    const { code } = await datagenInTurn(["runs", "delete", "latest", "--yes"], { cwd: space.path });
    expect({ code, ...counts(space) }).toMatchObject({ code: 0, runs: 0, calls: 0, leases: 0, texts: 0 });
  });
});

describe.concurrent("RUN", () => {
  const ids = ["7abcxyz1", "7abdxyz2", "8aaaxyz3"];
  let space: Workspace;

  beforeAll(async () => {
    space = await workspace();
    await space.write("rows.json", rows(1));
    await space.write("config.json", configFor());
    for (const id of ids) {
      const given = await runOffline(space);
      change(space, (database) => database.prepare("update runs set public_id = ? where public_id = ?").run(id, given));
    }
    // An import, a merge or a clock that was wrong may give any run any time: the newest is the one that was made last here.
    change(space, (database) =>
      database.prepare("update runs set created_at = created_at + 86400000 where public_id = ?").run(ids[1]),
    );
  });

  afterAll(() => space[Symbol.asyncDispose]());

  const show = (run: string) => datagenInTurn(["runs", "show", run, "--json"], { cwd: space.path });

  test.for([
    ["7abcxyz1", "7abcxyz1"],
    ["7abc", "7abcxyz1"],
    ["7ABD", "7abdxyz2"],
    ["8", "8aaaxyz3"],
    ["latest", "8aaaxyz3"],
  ] as const)("%s is the run %s", async ([wanted, id]) => {
    const { code, stdout } = await show(wanted);
    expect(code).toBe(0);
    expect(JSON.parse(stdout)).toMatchObject({ run: { id } });
  });

  test("a prefix of several runs is refused with the ids that it could be", async () => {
    const result = await show("7ab");
    expectRefusal(result);
    expect(result.stderr).toContain("7abcxyz1");
    expect(result.stderr).toContain("7abdxyz2");
    expect(result.stderr).not.toContain("8aaaxyz3");
  });

  test.for(["9", "7abcxyz12", "", "%", "_", "7ab_", "LATEST", "latest ", `${ESC}[2J`, "' or 1=1 --"])(
    "%j is no run",
    async (wanted) => {
      const result = await datagenInTurn(["runs", "delete", wanted, "--yes"], { cwd: space.path });
      expectRefusal(result);
      expect(result.stderr).toContain("there is no run");
      expect(result.stderr).not.toMatch(OBEYED);
      expect(all(space, "select * from runs")).toHaveLength(3);
    },
  );

  test.for([["runs", "show"], ["resume"], ["export"]])("that does not exist is refused by %s %s", async (args) => {
    const result = await datagenInTurn([...args, "9"], { cwd: space.path });
    expectRefusal(result);
    expect(result.stderr).toContain("there is no run");
  });

  test("latest is refused where there are no runs", async () => {
    await using empty = await prepared();
    const result = await datagenInTurn(["runs", "show", "latest"], { cwd: empty.path });
    expectRefusal(result);
    expect(result.stderr).toContain("there is no database data/datagen.db");
  });
});

test("a current folder that was removed is reported as missing", async () => {
  await using space = await workspace();
  const script = `import { mkdirSync, rmdirSync } from "node:fs";
    mkdirSync("gone"); process.chdir("gone"); rmdirSync("../gone");
    await import(${JSON.stringify(pathToFileURL(BIN).href)});`;
  const bin = await space.write("removed.mjs", script);
  for (const args of [
    ["runs", "list"],
    ["run", "config.json"],
  ]) {
    const result = await datagen(args, { cwd: space.path, bin });
    expectRefusal(result);
    expect(result.stderr).toContain("the current folder no longer exists");
  }
});

describe.concurrent("the database", () => {
  test("is --db before DATAGEN_DB, DATAGEN_DB before .env, and else data/datagen.db", async () => {
    await using space = await prepared();
    const run = (args: string[], env: Record<string, string> = {}) =>
      datagenInTurn(["run", "config.json", "--provider", "offline", "--no-export", ...args], { cwd: space.path, env });
    const runsIn = (path: string) => {
      if (!existsSync(space.at(path))) return 0;
      using database = disposable(openDatabase(space.at(path)));
      return database.prepare<[], number>("select count(*) from runs").pluck().get();
    };
    const runs = () => ["flag.db", "deep/er/environment.db", "dotenv.db", "data/datagen.db"].map(runsIn);

    await run([], { DATAGEN_DB: "" });
    expect(runs()).toEqual([0, 0, 0, 1]);
    await run(["--db", "flag.db"], { DATAGEN_DB: "deep/er/environment.db" });
    expect(runs()).toEqual([1, 0, 0, 1]);
    await space.write(".env", "DATAGEN_DB=dotenv.db\n");
    await run([], { DATAGEN_DB: "deep/er/environment.db" });
    expect(runs()).toEqual([1, 1, 0, 1]);
    await run([]);
    expect(runs()).toEqual([1, 1, 1, 1]);
  });

  function disposable(database: Database.Database): Database.Database & Disposable {
    return Object.assign(database, { [Symbol.dispose]: () => database.close() });
  }

  test("is named in the command that goes on with a run", async () => {
    await using space = await prepared();
    await using server = await startServer({ behave: () => ({ kind: "status", status: 401 }) });
    const { code, stdout, stderr } = await datagenInTurn(["run", "config.json", "--db", "my runs.db"], {
      cwd: space.path,
      env: environmentFor(server),
    });
    expect({ code, stdout }).toEqual({ code: 3, stdout: "" });
    expect(stderr).toMatch(/datagen resume [0-9a-z]{8} --db 'my runs\.db'\n$/);
  });
});
