import { execFileSync } from "node:child_process";
import { mkdir, readdir, readFile, symlink } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { connectionOf, resolveTarget } from "../src/app/server/target.ts";
import { parseConfig } from "../src/config/parse.ts";
import { providers } from "../src/providers/index.ts";
import {
  type Config,
  configFor,
  type ConfigOverrides,
  expectedDataset,
  rows,
  type SpawnOptions,
  startDatagen,
  workspace,
} from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { fakes, REMOTE } from "./support/providers/index.ts";
import { startRecorder } from "./support/recorder.ts";
import { type Fault, type LoopbackServer, startServer } from "./support/server.ts";

const PLAIN = { condition: "Plain", reading: null, strategy: "Translate the German text into English." };

const OPENAI_API_KEY = "sk-proj-openai-Wm4tXb7QpZ2nRc9VkL5sYd8H";
const TOGETHER_API_KEY = "together-Jf3gUv6NqAe1wTz0PiK7oBx2Mc5y";
const DATAGEN_API_KEY = "own-server-Hs9kRd4LmEw8cVn1QtYb6Zg3Xp0u";
const KEYS = {
  ...Object.fromEntries(REMOTE.map((name) => [providers[name].remote!.keyVariable, fakes[name].key])),
  OPENAI_API_KEY,
  TOGETHER_API_KEY,
  DATAGEN_API_KEY,
};

/** One call for each row: a single perspective without a reading. */
function oneCallEach(overrides: ConfigOverrides = {}): Config {
  return configFor({ agent_perspectives: [PLAIN], ...overrides });
}

/** A folder with a config and its inputs, in which commands run; `await using` removes it. */
async function setUp(config: Config, inputs = 1) {
  const space = await workspace();
  const change = (changed: Config) => space.write("config.json", changed);
  await change(config);
  await space.write("rows.json", rows(inputs));
  type Env = NonNullable<SpawnOptions["env"]>;
  const toDataset = ["--db", "datagen.db", "--output", "dataset.json"];
  const command = (args: string[], env: Env = {}) =>
    datagenInTurn([...args, "--db", "datagen.db"], { cwd: space.path, env });
  return {
    space,
    change,
    command,
    run: (env: Env, flags: string[] = []) =>
      datagenInTurn(["run", "config.json", ...toDataset, ...flags], { cwd: space.path, env }),
    start: (env: Env, flags: string[] = []) =>
      startDatagen(["run", "config.json", ...toDataset, ...flags], { cwd: space.path, env }),
    resume: (env: Env) => datagenInTurn(["resume", "latest", ...toDataset], { cwd: space.path, env }),
    runs: async () => JSON.parse((await command(["runs", "list", "--json"])).stdout) as { status: string }[],
    /** Every file below the folder, but for those that hold a key because a test wrote it there. */
    async files(): Promise<Map<string, string>> {
      const entries = await readdir(space.path, { withFileTypes: true, recursive: true });
      const files = entries.filter((entry) => entry.isFile() && entry.name !== ".env");
      // Each byte is a character, so that nothing is lost of what is no UTF-8.
      const read = ({ parentPath, name }: (typeof files)[number]) => readFile(join(parentPath, name), "latin1");
      return new Map(await Promise.all(files.map(async (file) => [file.name, await read(file)] as const)));
    },
    [Symbol.asyncDispose]: () => space[Symbol.asyncDispose](),
  };
}

const keysSeen = (server: LoopbackServer) => server.requests.map(({ authorization }) => authorization);

describe("the host of a URL in a config", () => {
  const keyFor = (base_url: string, api_provider: "openai" | "together") => {
    const config = parseConfig(oneCallEach({ api_provider, model_config: { base_url } }));
    const variables = { shell: KEYS, file: {} };
    const { apiKey, isTrusted } = connectionOf(resolveTarget(config, false, variables), config, variables);
    return [apiKey, isTrusted];
  };

  test("the provider's own host gets the provider's key", () => {
    expect(keyFor("https://api.openai.com/v1", "openai")).toEqual([OPENAI_API_KEY, true]);
    expect(keyFor("https://API.openai.com/v1/", "openai")).toEqual([OPENAI_API_KEY, true]);
    expect(keyFor("https://api.together.xyz/v1", "together")).toEqual([TOGETHER_API_KEY, true]);
  });

  test.for([
    ["openai", "http://api.openai.com/v1"],
    ["openai", "https://api.openai.com.example.org/v1"],
    ["openai", "https://api.openai.com:8443/v1"],
    ["openai", "https://example.org/api.openai.com/v1"],
    ["openai", "https://evil-api.openai.com/v1"],
    ["openai", "https://api.together.xyz/v1"],
    ["together", "https://api.openai.com/v1"],
    ["together", "http://api.together.ai/v1"],
  ] as const)("%s: no other host does: %s", ([provider, url]) => {
    expect(keyFor(url, provider)).toEqual([DATAGEN_API_KEY, false]);
  });
});

describe.concurrent.each(REMOTE)("a key of %s that is missing", (provider) => {
  const { keyVariable } = providers[provider].remote!;
  const model_name = fakes[provider].model;

  test("run says which, where from, and that offline needs none", async () => {
    await using proxy = await startRecorder();
    await using lab = await setUp(oneCallEach({ model_config: { model_name } }));
    const others = { ...KEYS, [keyVariable]: undefined, HTTPS_PROXY: proxy.url };
    for (const env of [others, { ...others, [keyVariable]: " " }]) {
      const { code, stdout, stderr } = await lab.run(env);
      expect([code, stdout]).toEqual([2, ""]);
      expect(stderr).toMatch(new RegExp(`${keyVariable} is not set`));
      expect(stderr).toMatch(new RegExp(`Set ${keyVariable} .*\\.env.*--provider offline`));
      expect(stderr).not.toContain("Run ");
    }
    expect(await lab.runs()).toEqual([]);
    expect(proxy.tunnels).toEqual([]);
  });

  test("resume says the same, and leaves the run as it is", async () => {
    // A proxy that opens no tunnel: nothing leaves this machine, and no call is ever answered.
    await using proxy = await startRecorder();
    await using lab = await setUp(oneCallEach({ model_config: { model_name } }));
    const env = { HTTPS_PROXY: proxy.url };
    await using running = lab.start({ ...KEYS, ...env });
    await Promise.race([proxy.connected, running.done]);
    running.kill("SIGINT");
    expect((await running.done).code).toBe(130);
    proxy.tunnels.length = 0;
    const { code, stdout, stderr } = await lab.resume({ ...KEYS, ...env, [keyVariable]: undefined });
    expect([code, stdout]).toEqual([2, ""]);
    expect(stderr).toMatch(new RegExp(`${keyVariable} is not set.*\n.*Set ${keyVariable} .*\\.env.*offline`));
    expect(await lab.runs()).toMatchObject([{ status: "interrupted" }]);
    expect(proxy.tunnels).toEqual([]);
  });
});

describe.concurrent("the file .env", () => {
  test("is read in the working folder, for keys and base URLs", async () => {
    await using server = await startServer();
    await using lab = await setUp(oneCallEach());
    await lab.space.write(
      ".env",
      `# mine\nOPENAI_API_KEY="${OPENAI_API_KEY}"\nexport OPENAI_BASE_URL=${server.openaiUrl} # loopback\n`,
    );
    expect((await lab.run({})).code).toBe(0);
    expect(keysSeen(server)).toEqual([`Bearer ${OPENAI_API_KEY}`]);
  });

  test("is read for the key of a config's base_url, and by resume", async () => {
    await using server = await startServer({ behave: () => ({ kind: "status", status: 403 }) });
    await using lab = await setUp(oneCallEach({ model_config: { base_url: server.openaiUrl } }));
    await lab.space.write(".env", "DATAGEN_API_KEY=the-old-key-0123456789");
    expect((await lab.run({})).code).toBe(3);
    server.behave = undefined;
    await lab.space.write(".env", "DATAGEN_API_KEY=the-new-key-0123456789");
    expect((await lab.resume({})).code).toBe(0);
    expect(keysSeen(server)).toEqual(["Bearer the-old-key-0123456789", "Bearer the-new-key-0123456789"]);
  });

  test("gives way to the environment", async () => {
    await using server = await startServer();
    await using lab = await setUp(oneCallEach());
    await lab.space.write(".env", "OPENAI_API_KEY=of-the-file\nOPENAI_BASE_URL=http://127.0.0.1:9/v1\n");
    expect((await lab.run({ OPENAI_API_KEY, OPENAI_BASE_URL: server.openaiUrl })).code).toBe(0);
    expect(keysSeen(server)).toEqual([`Bearer ${OPENAI_API_KEY}`]);
  });

  test("of another folder is not read", async () => {
    await using lab = await setUp(oneCallEach());
    await lab.space.write("elsewhere/.env", `OPENAI_API_KEY=${OPENAI_API_KEY}`);
    await lab.space.write("elsewhere/config.json", oneCallEach());
    const args = ["run", "elsewhere/config.json", "--db", "datagen.db"];
    expect(await datagenInTurn(args, { cwd: lab.space.path })).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("OPENAI_API_KEY is not set") as string,
    });
  });

  const ENCODED: [string, string | Uint8Array, string | null][] = [
    ["a byte-order mark", `\ufeffOPENAI_API_KEY=${OPENAI_API_KEY}\n`, null],
    ["Windows' line breaks", `A=1\r\nOPENAI_API_KEY=${OPENAI_API_KEY}\r\n`, null],
    ["two pairs of quotes", `OPENAI_API_KEY='"${OPENAI_API_KEY}"'\n`, null],
    ["UTF-16", Buffer.from(`\ufeffOPENAI_API_KEY=${OPENAI_API_KEY}\n`, "utf16le"), "UTF-16"],
    ["UTF-16 without a mark", Buffer.from(`OPENAI_API_KEY=${OPENAI_API_KEY}\n`, "utf16le"), "UTF-16"],
    ["a colon", `A=1\nOPENAI_API_KEY: ${OPENAI_API_KEY}\n`, "line 2 of .env names OPENAI_API_KEY"],
    ["PowerShell's words", `$env:OPENAI_API_KEY = "${OPENAI_API_KEY}"\n`, "line 1 of .env names OPENAI_API_KEY"],
    ["the words of cmd", `set OPENAI_API_KEY=${OPENAI_API_KEY}\n`, "line 1 of .env names OPENAI_API_KEY"],
    ["JSON", `{\n"OPENAI_API_KEY": "${OPENAI_API_KEY}"\n}`, "line 2 of .env names OPENAI_API_KEY"],
    ["too much", `OPENAI_API_KEY=${OPENAI_API_KEY}\n${"#".repeat(1024 * 1024)}`, "larger than 1 MB"],
  ];

  test.for(ENCODED)("with %s is read, or named", async ([, content, refusal]) => {
    await using server = await startServer();
    await using lab = await setUp(oneCallEach());
    await lab.space.write(".env", content);
    const { code, stdout, stderr } = await lab.run({ OPENAI_BASE_URL: server.openaiUrl });
    expect(code, stderr).toBe(refusal === null ? 0 : 2);
    expect(stderr).toContain(refusal ?? "completed");
    expect(stdout + stderr).not.toContain(OPENAI_API_KEY);
    expect(keysSeen(server)).toEqual(refusal === null ? [`Bearer ${OPENAI_API_KEY}`] : []);
  });

  test.for(["/dev/zero", "a pipe"])("that is not a regular file is refused, and not waited for: %s", async (target) => {
    await using lab = await setUp(oneCallEach());
    if (target === "a pipe") execFileSync("mkfifo", [lab.space.at(".env")]);
    else await symlink(target, lab.space.at(".env"));
    const { code, stderr } = await datagenInTurn(["runs", "list"], { cwd: lab.space.path });
    expect(code).toBe(2);
    expect(stderr).toContain(".env is not a regular file");
  });

  test("is not hidden by variables that are set to nothing", async () => {
    await using server = await startServer();
    await using lab = await setUp(oneCallEach());
    await lab.space.write(".env", `OPENAI_API_KEY=${OPENAI_API_KEY}\nOPENAI_BASE_URL=${server.openaiUrl}\n`);
    const { code, stderr } = await lab.run({ OPENAI_API_KEY: "", OPENAI_BASE_URL: " " });
    expect(code, stderr).toBe(0);
    expect(keysSeen(server)).toEqual([`Bearer ${OPENAI_API_KEY}`]);
  });

  test("may be a folder, as Python's environments are, and is left alone then", async () => {
    await using server = await startServer();
    await using lab = await setUp(oneCallEach());
    await mkdir(lab.space.at(".env/bin"), { recursive: true });
    const { code, stderr } = await lab.run({ OPENAI_API_KEY, OPENAI_BASE_URL: server.openaiUrl });
    expect(code, stderr).toBe(0);
    expect(await lab.runs()).toMatchObject([{ status: "completed" }]);
  });
});

describe.concurrent("a key is written nowhere", () => {
  /** So much of a key is as good as all of it. */
  const hold = (key: string) => key.slice(0, 20);

  const CASES = [
    ["OPENAI_API_KEY", OPENAI_API_KEY, "openai", "gpt-4o-mini"],
    ["TOGETHER_API_KEY", TOGETHER_API_KEY, "together", "meta-llama/Llama-3.3-70B-Instruct-Turbo"],
    ["DATAGEN_API_KEY", DATAGEN_API_KEY, "openai", "llama3.2"],
  ] as const;

  function configuredFor(
    name: string,
    api_provider: "openai" | "together",
    model_name: string,
    server: LoopbackServer,
  ) {
    const own = name === "DATAGEN_API_KEY";
    const config = oneCallEach({
      api_provider,
      model_config: { model_name, ...(own && { base_url: server.openaiUrl }) },
    });
    const url = own ? {} : { OPENAI_BASE_URL: server.openaiUrl, TOGETHER_BASE_URL: server.togetherUrl };
    return { config, env: { ...KEYS, ...url } };
  }

  test.for(CASES)("%s: neither in a run that is killed nor in one that ends", async ([name, key, provider, model]) => {
    await using server = await startServer({
      behave: ({ index }) => (index < 6 ? undefined : { kind: "hang" }),
    });
    const { config, env } = configuredFor(name, provider, model, server);
    await using lab = await setUp(config, 12);
    const log = { OPENAI_LOG: "debug", TOGETHER_LOG: "debug", DEBUG: "*" };
    await using running = lab.start({ ...env, ...log });
    await expect.poll(() => server.requests.length, { timeout: 30_000 }).toBe(12);
    running.kill("SIGKILL");
    const killed = await running.done;
    const before = await lab.files();
    expect([...before.keys()]).toEqual(expect.arrayContaining(["datagen.db", "datagen.db-wal"]));
    server.behave = undefined;
    const resumed = await lab.resume({ ...env, ...log });
    expect(resumed.code, resumed.stderr).toBe(0);
    expect(keysSeen(server)).toEqual(server.requests.map(() => `Bearer ${key}`));
    const { tasks } = await lab.space.json<{ tasks: unknown }>("dataset.json");
    expect(tasks).toEqual(expectedDataset(config, rows(12)).tasks);
    const written = [...before, ...(await lab.files()), ["killed", JSON.stringify(killed)] as const];
    written.push(["resumed", JSON.stringify(resumed)]);
    for (const [file, content] of written) {
      for (const any of Object.values(KEYS)) expect(content.includes(hold(any)), file).toBe(false);
    }
  });

  test.for(CASES)("%s: not where the server repeats it in what it says is wrong", async (row) => {
    const [name, key, provider, model] = row;
    const status = (message: string, more: object = {}): Fault => ({ kind: "status", status: 400, message, ...more });
    const faults: Fault[] = [
      status(`The key ${key} may not do this`),
      status(`The header was "Bearer ${key}", twice: ${key}`),
      status("Not this key", { code: key }),
      status("Not this key", { type: `key-${key}`, code: null }),
      status("", { body: `<html><p>${key}</p></html>`, headers: { "content-type": "text/html" } }),
      status("", { body: { error: { info: { key } } } }),
      status("", { body: { error: key } }),
      status("Not this key", { headers: { "x-request-id": `request-of-${key}` } }),
      // A long message is cut, wherever the key stands in it.
      ...[955, 970, 985].map((length) => status(`${"x".repeat(length)} ${key}`)),
    ];
    await using server = await startServer();
    const { config, env } = configuredFor(name, provider, model, server);
    await using lab = await setUp(config, faults.length + 1);
    server.behave = ({ index }) => faults[index];
    const { code, ...output } = await lab.run({ ...env, OPENAI_LOG: "debug", TOGETHER_LOG: "debug" });
    expect(code, output.stderr).toBe(1);
    expect(keysSeen(server)).toEqual(server.requests.map(() => `Bearer ${key}`));
    const shown = await lab.command(["runs", "show", "latest", "--json"]);
    expect(shown.stdout).toContain("bad_request");
    const written = [...(await lab.files()), ["run", JSON.stringify(output)], ["show", shown.stdout]] as const;
    for (const [file, content] of written) expect(content.includes(hold(key)), file).toBe(false);
  });

  test.for(CASES)("%s: not where it is repeated under 200, or by what stops the run", async (row) => {
    const [name, key, provider, model] = row;
    await using server = await startServer();
    const { config, env } = configuredFor(name, provider, model, server);
    await using lab = await setUp(config, 3);
    const odd = { headers: { "retry-after-ms": "1" }, message: `Wait, ${key}` };
    const faults: Fault[] = [
      { kind: "status", status: 503, ...odd },
      { kind: "error200", message: `No, ${key}`, code: key },
      { kind: "status", status: 200, body: `<p>${key}</p>` },
      { kind: "status", status: 401, message: `Incorrect API key provided: ${key}`, code: `bad_${key}` },
    ];
    server.behave = ({ index }) => faults[Math.min(index, faults.length - 1)];
    const { code, ...output } = await lab.run(env, ["--concurrency", "1"]);
    expect(code, output.stderr).toBe(3);
    expect(output.stderr).toMatch(/Incorrect API key provided/);
    const written = [...(await lab.files()), ["run", JSON.stringify(output)]] as const;
    for (const [file, content] of written) expect(content.includes(hold(key)), file).toBe(false);
  });

  test("is taken out of the quotes that other programs leave around it, and refused with half of them", async () => {
    await using server = await startServer();
    await using lab = await setUp(oneCallEach());
    const env = (key: string) => ({ OPENAI_API_KEY: key, OPENAI_BASE_URL: `"${server.openaiUrl}"` });
    expect((await lab.run(env(`"${OPENAI_API_KEY}"`))).code).toBe(0);
    expect(keysSeen(server)).toEqual([`Bearer ${OPENAI_API_KEY}`]);
    const half = await lab.run(env(`"${OPENAI_API_KEY}`), ["--fresh"]);
    expect(half.code).toBe(2);
    expect(half.stderr).not.toContain(OPENAI_API_KEY);
  });

  test.for(["sk-proj-first-half-of-a-key\nsecond-half-of-a-key", "sk-proj-copied-from-a-list-…-of-keys"])(
    "not if a header cannot hold it, and the error says so: %j",
    async (key) => {
      await using server = await startServer();
      await using lab = await setUp(oneCallEach());
      const { code, stdout, stderr } = await lab.run({ OPENAI_API_KEY: key, OPENAI_BASE_URL: server.openaiUrl });
      expect(stdout + stderr).not.toContain(hold(key));
      expect(stderr).toContain("OPENAI_API_KEY");
      expect(code).toBe(2);
      expect(await lab.runs()).toEqual([]);
    },
  );

  test("not where a config holds one, which has no place there", async () => {
    await using lab = await setUp(oneCallEach({ model_config: { api_key: OPENAI_API_KEY } }));
    const { code, stdout, stderr } = await lab.run(KEYS);
    expect(code).toBe(2);
    expect(stderr).toContain("api_key");
    expect(stdout + stderr).not.toContain(hold(OPENAI_API_KEY));
  });
});

describe.concurrent("a base URL that holds a secret is refused, and not repeated", () => {
  const SECRET = "hush-0123456789";

  test.for([
    `http://user:${SECRET}@127.0.0.1:9/v1`,
    `http://${SECRET}@127.0.0.1:9/v1`,
    `http://127.0.0.1:9/v1?api_key=${SECRET}`,
    `http://127.0.0.1:9/v1#${SECRET}`,
  ])("%s", async (url) => {
    await using lab = await setUp(oneCallEach());
    const refusals = [
      await lab.run(KEYS, ["--base-url", url]),
      await lab.run({ ...KEYS, OPENAI_BASE_URL: url }),
      await lab.run({ ...KEYS, TOGETHER_BASE_URL: url }, ["--provider", "together"]),
    ];
    await lab.change(oneCallEach({ model_config: { base_url: url } }));
    refusals.push(await lab.run(KEYS));
    const named = refusals.map(({ code, stderr }) => [
      code,
      /--base-url|OPENAI_BASE_URL|TOGETHER_BASE_URL|model_config\.base_url/.exec(stderr)?.[0],
    ]);
    expect(named).toEqual([
      [2, "--base-url"],
      [2, "OPENAI_BASE_URL"],
      [2, "TOGETHER_BASE_URL"],
      [2, "model_config.base_url"],
    ]);
    for (const { stdout, stderr } of refusals) expect(stdout + stderr).not.toContain(SECRET);
    expect(await lab.runs()).toEqual([]);
  });
});
