import { chmod, copyFile, mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import Database from "better-sqlite3";
import { describe, expect, test } from "vitest";
import { noProxyFor } from "../src/network/no-proxy.ts";
import { configFor, datagen, type ConfigOverrides, rows, workspace, type Workspace } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { type LoopbackServer, startServer } from "./support/server.ts";

const BIN = resolve(import.meta.dirname, "../dist/main.js");

const OPENAI_API_KEY = "sk-proj-of-the-shell-Wm4tXb7QpZ2nRc9VkL5";
const DATAGEN_API_KEY = "own-server-of-the-shell-Hs9kRd4LmEw8cVn1";
const OF_FILE = "sk-proj-of-the-file-Jf3gUv6NqAe1wTz0PiK7";
/** What the SDKs send beside a key. */
const BESIDE = {
  OPENAI_ORG_ID: "org-hush",
  OPENAI_PROJECT_ID: "proj-hush",
  OPENAI_CUSTOM_HEADERS: "X-Team: team-hush",
};
const SHELL = { OPENAI_API_KEY, DATAGEN_API_KEY, ...BESIDE };
const BINDINGS = ".local/state/datagen/servers.jsonl";

const PLAIN = { condition: "Plain", reading: null, strategy: "Translate the German text into English." };
const oneCallEach = (overrides: ConfigOverrides = {}) => configFor({ agent_perspectives: [PLAIN], ...overrides });

/** What a terminal would obey, line breaks apart. */
// oxlint-disable-next-line no-control-regex -- control characters are what this is about
const OBEYED = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u202a-\u202e]/;

type Env = Record<string, string>;

/** A folder and a home of their own, as another user or another machine has them. */
async function setUp(config = oneCallEach()) {
  const space = await workspace();
  await space.write("config.json", config);
  await space.write("rows.json", rows(1));
  const command = (args: string[], env: Env = {}) => datagenInTurn(args, { cwd: space.path, env });
  return Object.assign(space, {
    command,
    run: (env: Env, flags: string[] = []) => command(["run", "config.json", "--no-export", ...flags], env),
    resume: (env: Env, flags: string[] = []) => command(["resume", "latest", "--no-export", ...flags], env),
  });
}

type Lab = Awaited<ReturnType<typeof setUp>>;

/** The database of a run that stopped before it had an answer, in a folder where nobody has run it. */
async function foundIn(lab: Lab, server: LoopbackServer, env: Env, flags: string[] = []): Promise<Lab> {
  server.behave = () => ({ kind: "status", status: 401 });
  expect((await lab.run(env, flags)).code).toBe(3);
  server.behave = undefined;
  server.requests.length = 0;
  const other = await setUp();
  await mkdir(other.at("data"));
  await copyFile(lab.at("data/datagen.db"), other.at("data/datagen.db"));
  return other;
}

const keysSeen = ({ requests }: LoopbackServer) => requests.map(({ authorization }) => authorization);

describe.concurrent("a base URL of a .env", () => {
  test("gets a key of the same file, and nothing of the shell, by run and by resume", async () => {
    await using server = await startServer({ behave: () => ({ kind: "status", status: 401 }) });
    await using lab = await setUp();
    await lab.write(".env", `OPENAI_BASE_URL=${server.openaiUrl}\nOPENAI_API_KEY=${OF_FILE}\n`);
    expect((await lab.run(SHELL)).code).toBe(3);
    server.behave = undefined;
    const resumed = await lab.resume(SHELL);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(keysSeen(server)).toEqual([`Bearer ${OF_FILE}`, `Bearer ${OF_FILE}`]);
    expect(JSON.stringify(server.requests)).not.toContain("hush");
  });

  test("gets no key where the file has none, which is said", async () => {
    await using server = await startServer();
    await using lab = await setUp();
    await lab.write(".env", `OPENAI_BASE_URL=${server.openaiUrl}\n`);
    const { code, stderr } = await lab.run(SHELL);
    expect(code, stderr).toBe(0);
    expect(keysSeen(server)).toEqual([undefined]);
    expect(stderr).toMatch(/Warning: OPENAI_BASE_URL comes from \.env, .* not the OPENAI_API_KEY of the shell/);
  });

  test("is not asked by resume once the file names another one", async () => {
    await using server = await startServer({ behave: () => ({ kind: "status", status: 401 }) });
    await using lab = await setUp();
    await lab.write(".env", `OPENAI_BASE_URL=${server.openaiUrl}\nOPENAI_API_KEY=${OF_FILE}\n`);
    expect((await lab.run({})).code).toBe(3);
    await lab.write(".env", `OPENAI_BASE_URL=http://127.0.0.1:9/v1\nOPENAI_API_KEY=${OF_FILE}\n`);
    server.requests.length = 0;
    expect((await lab.resume({})).code).toBe(2);
    expect(server.requests).toEqual([]);
  });

  test("that the shell names too gets the shell's key", async () => {
    await using server = await startServer();
    await using lab = await setUp();
    await lab.write(".env", `OPENAI_BASE_URL=${server.openaiUrl}\n`);
    expect((await lab.run({ ...SHELL, OPENAI_BASE_URL: server.openaiUrl })).code).toBe(0);
    expect(keysSeen(server)).toEqual([`Bearer ${OPENAI_API_KEY}`]);
  });
});

describe.concurrent("a base URL that only a database names", () => {
  const SOURCES: [source: string, configured: boolean, flag: boolean, key: string][] = [
    ["flag", false, true, OPENAI_API_KEY],
    ["environment", false, false, OPENAI_API_KEY],
    ["config", true, false, DATAGEN_API_KEY],
  ];

  test.for(SOURCES)("%s: gets no key until the user names it", async ([, isConfigured, isFlag, key]) => {
    await using server = await startServer();
    const url = server.openaiUrl;
    await using mine = await setUp(oneCallEach(isConfigured ? { model_config: { base_url: url } } : {}));
    const env = isConfigured || isFlag ? {} : { OPENAI_BASE_URL: url };
    await using lab = await foundIn(mine, server, env, isFlag ? ["--base-url", url] : []);
    const elsewhere = { ...SHELL, OPENAI_BASE_URL: "http://127.0.0.1:9/v1" };
    for (const args of [
      ["resume", "latest"],
      ["resume", "latest", "--live"],
      ["resume", "latest", "--batch"],
      ["runs", "cancel", "latest"],
    ]) {
      const { code, stdout, stderr } = await lab.command(args, elsewhere);
      expect([code, stdout], args.join(" ")).toEqual([2, ""]);
      expect(stderr).toContain(`uses ${url}, a server that you have not named on this machine`);
      expect(stderr).toContain("--base-url");
    }
    const wrong = await lab.resume(SHELL, ["--base-url", "http://127.0.0.1:9/v1"]);
    expect(wrong).toMatchObject({ code: 2, stderr: expect.stringContaining("names another one") as string });
    expect(server.requests).toEqual([]);
    const right = await lab.resume(SHELL, ["--base-url", `${url}/`]);
    expect(right.code, right.stderr).toBe(0);
    expect(right.stderr).toContain(`at ${url}, 1 of 1 call pending`);
    expect(keysSeen(server)).toEqual([`Bearer ${key}`]);
  });

  test("gets the key where the shell names it, and from then on", async () => {
    await using server = await startServer();
    await using mine = await setUp();
    await using lab = await foundIn(mine, server, {}, ["--base-url", server.openaiUrl]);
    server.behave = () => ({ kind: "status", status: 401 });
    expect((await lab.resume({ ...SHELL, OPENAI_BASE_URL: `${server.openaiUrl}/` })).code).toBe(3);
    server.behave = undefined;
    expect((await lab.resume(SHELL)).code).toBe(0);
    expect(keysSeen(server)).toEqual([`Bearer ${OPENAI_API_KEY}`, `Bearer ${OPENAI_API_KEY}`]);
  });

  test("is not bound by what the database says of it", async () => {
    await using server = await startServer();
    const config = oneCallEach({ model_config: { base_url: server.openaiUrl } });
    await using lab = await setUp(config);
    // The user has run a config with this URL, which binds it for DATAGEN_API_KEY.
    server.behave = () => ({ kind: "status", status: 401 });
    expect((await lab.run({})).code).toBe(3);
    const database = new Database(lab.at("data/datagen.db"));
    database.exec("update runs set base_url_source = 'flag'");
    database.close();
    server.requests.length = 0;
    expect((await lab.resume({ OPENAI_API_KEY })).code).toBe(2);
    expect(server.requests).toEqual([]);
  });

  test("gets neither key nor headers where the environment has no key for it", async () => {
    await using server = await startServer();
    await using mine = await setUp();
    await using lab = await foundIn(mine, server, {}, ["--base-url", server.openaiUrl]);
    const { OPENAI_ORG_ID, OPENAI_PROJECT_ID } = BESIDE;
    const { code, stderr } = await lab.resume({ OPENAI_ORG_ID, OPENAI_PROJECT_ID, DATAGEN_API_KEY });
    expect(code, stderr).toBe(0);
    expect(keysSeen(server)).toEqual([undefined]);
    expect(JSON.stringify(server.requests)).not.toContain("hush");
    await using again = await foundIn(mine, server, {}, ["--base-url", server.openaiUrl, "--fresh"]);
    expect((await again.resume({ OPENAI_CUSTOM_HEADERS: "api-key: hush" })).code).toBe(2);
    expect(server.requests).toEqual([]);
  });

  test("that was merged gets no key", async () => {
    await using server = await startServer();
    await using mine = await setUp();
    await using found = await foundIn(mine, server, {}, ["--base-url", server.openaiUrl]);
    await using lab = await setUp();
    expect((await lab.command(["db", "merge", found.at("data/datagen.db")])).code).toBe(0);
    expect((await lab.resume(SHELL)).code).toBe(2);
    expect(server.requests).toEqual([]);
  });

  test.for([
    ["y\n", 0, 1],
    ["n\n", 2, 0],
    ["", 2, 0],
  ] as const)("is asked about on a terminal: %j", async ([input, code, requests]) => {
    await using server = await startServer();
    await using mine = await setUp();
    await using lab = await foundIn(mine, server, {}, ["--base-url", server.openaiUrl]);
    const options = { cwd: lab.path, env: SHELL, input, bin: await terminal(lab) };
    const result = await datagen(["resume", "latest", "--no-export"], options);
    expect(result.stderr).toContain(
      `sends its requests to ${server.openaiUrl}. You have not named this server on this machine`,
    );
    expect([result.code, server.requests.length], result.stderr).toEqual([code, requests]);
  });

  test("is refused where it is not one that a run can have", async () => {
    await using server = await startServer();
    await using mine = await setUp();
    await using lab = await foundIn(mine, server, {}, ["--base-url", server.openaiUrl]);
    for (const url of [
      "nonsense",
      "file:///etc/passwd",
      "http://user:secret@127.0.0.1:9/v1",
      "HTTP://127.0.0.1:9/v1/",
    ]) {
      const database = new Database(lab.at("data/datagen.db"));
      database.prepare("update runs set base_url = ?").run(url);
      database.close();
      expect((await lab.resume(SHELL)).code, url).toBe(2);
    }
  });
});

describe.concurrent("what is remembered of servers", () => {
  test("is in the user's state folder, for nobody else's eyes", async () => {
    await using server = await startServer();
    await using lab = await setUp();
    expect((await lab.run({}, ["--base-url", server.openaiUrl])).code).toBe(0);
    const modes = await Promise.all([BINDINGS, ".local/state/datagen"].map((name) => stat(lab.at(name))));
    expect(modes.map(({ mode }) => mode & 0o777)).toEqual([0o600, 0o700]);
    expect(await lab.read(BINDINGS)).toBe(`\n["OPENAI_API_KEY","${server.openaiUrl}"]\n`);
    await using other = await setUp();
    const state = other.at("state");
    await other.run({ XDG_STATE_HOME: state }, ["--base-url", server.openaiUrl]);
    expect(await readdir(state)).toEqual(["datagen"]);
    await using relative = await setUp();
    await relative.run({ XDG_STATE_HOME: "state" }, ["--base-url", server.openaiUrl]);
    expect(await readdir(relative.path)).not.toContain("state");
  });

  test("is whole when processes write at once, and after a line that was cut off", async () => {
    await using server = await startServer();
    await using lab = await setUp();
    await mkdir(lab.at(".local/state/datagen"), { recursive: true });
    await writeFile(lab.at(BINDINGS), '["OPENAI_API_KEY","http://127.0.0.1:1', { mode: 0o600 });
    const urls = Array.from({ length: 6 }, (_, at) => `${server.openaiUrl}/${at}`);
    const flags = (url: string) => ["--base-url", url, "--provider", "openai", "--db", `${url.at(-1)}.db`];
    server.behave = () => ({ kind: "status", status: 401 });
    await Promise.all(
      urls.map((url) => datagen(["run", "config.json", "--no-export", ...flags(url)], { cwd: lab.path, env: SHELL })),
    );
    const lines = (await lab.read(BINDINGS)).split("\n").filter((line) => line !== "");
    expect(lines.slice(1).toSorted()).toEqual(urls.map((url) => `["OPENAI_API_KEY","${url}"]`));
  });

  test("is not believed where others can write it", async () => {
    await using server = await startServer();
    await using mine = await setUp();
    await using lab = await foundIn(mine, server, {}, ["--base-url", server.openaiUrl]);
    await mkdir(lab.at(".local/state/datagen"), { recursive: true });
    await writeFile(lab.at(BINDINGS), `["OPENAI_API_KEY","${server.openaiUrl}"]\n`);
    await chmod(lab.at(BINDINGS), 0o666);
    expect((await lab.resume(SHELL)).code).toBe(2);
    await chmod(lab.at(BINDINGS), 0o600);
    expect((await lab.resume(SHELL)).code).toBe(0);
  });

  test("is done without where there is no home: the run ends, and says what resume needs", async () => {
    await using server = await startServer();
    await using lab = await setUp();
    const env = { ...SHELL, HOME: "/dev/null/none" };
    server.behave = ({ index }) => (index === 0 ? { kind: "status", status: 401 } : undefined);
    const { code, stderr } = await lab.run(env, ["--base-url", server.openaiUrl]);
    expect(code).toBe(3);
    expect(stderr).toMatch(/Warning: datagen cannot remember that you use \S+, .*; to resume the run, add --base-url/);
    expect((await lab.resume(env)).code).toBe(2);
    const resumed = await lab.resume(env, ["--base-url", server.openaiUrl]);
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(keysSeen(server)).toEqual([`Bearer ${OPENAI_API_KEY}`, `Bearer ${OPENAI_API_KEY}`]);
  });
});

describe.concurrent("a name in a database of somebody else", () => {
  async function offline(): Promise<Lab> {
    const lab = await setUp();
    const { code, stderr } = await lab.run({}, ["--provider", "offline"]);
    expect(code, stderr).toBe(0);
    return lab;
  }

  function change(lab: Lab, sql: string): void {
    const database = new Database(lab.at("data/datagen.db"));
    database.exec(sql);
    database.close();
  }

  test.for(["../../../escaped", "/tmp/escaped-from-datagen", "..", "a/b", "a\\b"])(
    "leads no export out of its folder: %s",
    async (name) => {
      await using lab = await offline();
      change(lab, `update runs set dataset_name = '${name}'`);
      const { code, stdout, stderr } = await lab.command(["export", "latest"]);
      expect(code, stderr).toBe(0);
      expect(stdout).toMatch(/^data\/agents\/[^/\\]+\.json\n$/);
      expect((await readdir(lab.at("data/agents"))).map((file) => join("data/agents", file))).toEqual([stdout.trim()]);
    },
  );

  test("is no command that a user could copy", async () => {
    await using lab = await offline();
    change(lab, "update runs set public_id = 'x; echo \u001b[2J'");
    await using into = await setUp();
    for (const result of [
      await lab.command(["runs", "show", "latest"]),
      await lab.command(["resume", "latest"]),
      await into.command(["db", "merge", lab.at("data/datagen.db")]),
    ]) {
      expect(result).toMatchObject({ code: 2, stdout: "" });
      expect(result.stderr).not.toContain("\u001b");
    }
  });

  test("is data to the terminal that JSON and datasets are shown on", async () => {
    await using lab = await offline();
    const evil = "a\u001b[31mb\u009b2Jc\u202ed\u2028";
    change(lab, `update runs set name = '${evil}'; update answers set text = '${evil}'`);
    const bin = await terminal(lab);
    const shown = (args: string[]) => datagen(args, { cwd: lab.path, bin });
    const list = await shown(["runs", "list", "--json"]);
    expect(JSON.parse(list.stdout)).toMatchObject([{ name: evil }]);
    const json = await shown(["export", "latest", "--output", "-"]);
    expect(JSON.stringify(JSON.parse(json.stdout))).toContain(JSON.stringify(evil).slice(1, -1));
    const csv = await shown(["export", "latest", "--output", "-", "--format", "csv"]);
    for (const { stdout } of [list, json, csv]) expect(stdout).not.toMatch(OBEYED);
    // What a program reads stays as it is.
    expect((await lab.command(["export", "latest", "--output", "-", "--format", "csv"])).stdout).toContain(evil);
  });
});

/** The bin with streams that say they are a terminal. */
async function terminal(lab: Workspace): Promise<string> {
  return await lab.write(
    "terminal.mjs",
    `for (const stream of [process.stdin, process.stdout, process.stderr]) stream.isTTY = true;
     await import(${JSON.stringify(pathToFileURL(BIN).href)});`,
  );
}

describe("NO_PROXY", () => {
  test.for([
    ["http://10.1.2.3:8000/v1", "10.0.0.0/8", true],
    ["http://11.1.2.3:8000/v1", "10.0.0.0/8", false],
    ["http://10.1.2.3/v1", "localhost, 192.168.0.0/16 10.1.2.3/32", true],
    ["http://[fd00::1]/v1", "fd00::/8", true],
    ["http://[fd00::1]/v1", "[fd00::]/8", true],
    ["http://[fe00::1]/v1", "fd00::/8", false],
    ["http://10.1.2.3/v1", "10.0.0.0/99, /8, 10/8, x/8", false],
    ["http://ten.example.org/v1", "10.0.0.0/8", false],
  ] as const)("%s in %j: %s", ([url, listed, isAround]) => {
    const host = new URL(url).hostname.replaceAll(/[[\]]/g, "");
    expect(noProxyFor(url, { NO_PROXY: listed })).toBe(isAround ? `${listed},${host}` : listed);
    expect(noProxyFor(url, { no_proxy: "other", NO_PROXY: listed })).toBe("other");
  });

  test("with a range of addresses leads around the proxy", async () => {
    await using server = await startServer();
    await using lab = await setUp();
    const env = { ...SHELL, HTTP_PROXY: "http://127.0.0.1:9", NO_PROXY: "127.0.0.0/8" };
    const { code, stderr } = await lab.run(env, ["--base-url", server.openaiUrl]);
    expect(code, stderr).toBe(0);
  });
});

describe.concurrent("what datagen writes", () => {
  test("of a database is for its user only, whatever the umask", async () => {
    await using server = await startServer({ behave: () => ({ kind: "hang" }) });
    await using lab = await setUp();
    const env = { ...SHELL, OPENAI_BASE_URL: server.openaiUrl };
    const bin = await lab.write(
      "open.mjs",
      `process.umask(0); await import(${JSON.stringify(pathToFileURL(BIN).href)});`,
    );
    const options = { cwd: lab.path, env, bin, signalAfter: { stderr: /Run \w+: /, signal: "SIGKILL" as const } };
    await datagen(["run", "config.json"], options);
    const files = (await readdir(lab.at("data"))).filter((name) => name.startsWith("datagen.db"));
    expect(files.toSorted()).toEqual(["datagen.db", "datagen.db-lock", "datagen.db-shm", "datagen.db-wal"]);
    for (const name of files) expect((await stat(lab.at(`data/${name}`))).mode & 0o777, name).toBe(0o600);
  });

  test("of a batch before it is sent is beside the database, and is not left there", async () => {
    await using server = await startServer({ behave: () => undefined });
    await using lab = await setUp();
    const env = { ...SHELL, OPENAI_BASE_URL: server.openaiUrl, TMPDIR: "/dev/null/none" };
    const { code, stderr } = await lab.run(env, ["--provider", "offline", "--batch"]);
    expect(code, stderr).toBe(0);
    expect((await readdir(lab.at("data"))).filter((name) => name.endsWith(".part"))).toEqual([]);
  });

  test("of compiled code is in a folder of the user's own, or nowhere", async () => {
    await using lab = await setUp();
    const cache = lab.at("cache/datagen/compiled");
    const env = { XDG_CACHE_HOME: lab.at("cache"), TMPDIR: lab.at("tmp") };
    const start = () => datagen(["runs", "list"], { cwd: lab.path, env });
    await mkdir(lab.at("tmp"));
    expect((await start()).code).toBe(0);
    expect((await stat(cache)).mode & 0o777).toBe(0o700);
    const [version = ""] = await readdir(cache);
    const compiled = await readdir(join(cache, version));
    expect(compiled.length).toBeGreaterThan(0);
    expect(await readdir(lab.at("tmp"))).toEqual([]);
    // Others may have written there.
    await chmod(cache, 0o777);
    const [name = ""] = compiled;
    await writeFile(join(cache, version, name), "forged");
    expect((await start()).code).toBe(0);
    expect(await readFile(join(cache, version, name), "utf8")).toBe("forged");
  });
});
