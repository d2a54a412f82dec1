import { existsSync } from "node:fs";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { ModelRow } from "../src/app/models/list-models.ts";
import { providers } from "../src/providers/index.ts";
import { type Result, type Workspace, workspace } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { fakes, REMOTE, type RemoteName } from "./support/providers/index.ts";
import { type LoopbackServer, startServer } from "./support/server.ts";

const ESCAPE = "\u001b";

/** What servers of other makers list. */
const OTHERS: Record<string, (url: URL) => unknown> = {
  "/vllm/v1/models": () => ({
    object: "list",
    data: [{ id: "Qwen/Qwen3-8B", object: "model", max_model_len: 40_960 }],
  }),
  "/router/v1/models": () => ({
    data: [
      {
        id: "openai/gpt-oss-20b",
        name: `Open ${ESCAPE}[31mred`,
        context_length: 131_072,
        pricing: { prompt: "0.00000005", completion: "0.0000002", input_cache_read: "0.000000025" },
        top_provider: { context_length: 131_072, max_completion_tokens: 32_768 },
      },
    ],
  }),
  // Says that there is more, whatever is asked for.
  "/endless/v1/models": () => ({ data: [{ id: "same" }], has_more: true }),
  // Always another page.
  "/counting/v1/models": ({ searchParams }) => {
    const start = Number(searchParams.get("after") ?? 0);
    return { data: Array.from({ length: 200 }, (_, at) => ({ id: String(start + at + 1) })), has_more: true };
  },
  "/paged/v1/models": ({ searchParams }) =>
    searchParams.get("after") === "a"
      ? { data: [{ id: "b" }], has_more: false }
      : { data: [{ id: "a" }], has_more: true },
  "/odd/v1/models": () => ({
    data: [
      null,
      7,
      { object: "model" },
      { id: " " },
      { id: "x".repeat(2_000) },
      { id: `for ${fakes.openai.key}`, name: `Of ${fakes.openai.key}` },
    ],
  }),
  "/local/v1/models": () => ({ data: [{ id: "local/llama", name: "A local model" }] }),
  "/page/v1/models": () => "<html>hello</html>",
};

let space: Workspace;
let server: LoopbackServer;
/** The base URL of what stands in for servers of other makers. */
let url: string;
const keys = new Set<string | undefined>();
const others = createServer(({ url: path = "", headers }, response) => {
  const target = new URL(path, "http://loopback");
  keys.add(headers.authorization);
  const list = OTHERS[target.pathname]?.(target);
  const status = target.pathname.startsWith("/refusing") ? 401 : list === undefined ? 404 : 200;
  const message = status === 401 ? "Incorrect API key provided" : `Invalid URL (GET ${path})`;
  const body = status === 200 ? list : { error: { message } };
  response.writeHead(status, { "content-type": "application/json" });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
});

beforeAll(async () => {
  space = await workspace();
  server = await startServer();
  others.listen({ port: 0, host: "127.0.0.1" });
  await once(others, "listening");
  url = `http://127.0.0.1:${(others.address() as AddressInfo).port}`;
});

afterAll(async () => {
  others.closeAllConnections();
  others.close();
  await server[Symbol.asyncDispose]();
  await space[Symbol.asyncDispose]();
});

const models = (args: string[], env: Record<string, string> = {}): Promise<Result> =>
  datagenInTurn(["models", ...args], { cwd: space.path, env });

async function listed(args: string[], env: Record<string, string> = {}): Promise<ModelRow[]> {
  const { code, stdout, stderr } = await models([...args, "--json"], env);
  expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
  return JSON.parse(stdout) as ModelRow[];
}

/** The key and the base URL of one provider. */
const environmentOf = (name: RemoteName) => {
  const { keyVariable, baseUrlVariable } = providers[name].remote!;
  return { [keyVariable]: fakes[name].key, [baseUrlVariable]: server[`${name}Url`] };
};

describe.concurrent("datagen models", () => {
  test.each(REMOTE)("lists the models of %s with their prices and limits, and stores nothing", async (name) => {
    const [first] = await listed([name], environmentOf(name));
    expect(first).toMatchObject({
      provider: name,
      base_url: server[`${name}Url`],
      model: fakes[name].model,
      context_window: { tokens: expect.any(Number) as number },
      prices: { input: expect.any(Number) as number, date: expect.stringMatching(/^\d{4}-/) as string },
    });
    const [header, value] = fakes[name].keyHeader(fakes[name].key);
    const sent = server.listings.filter(({ provider }) => provider === name);
    expect(new Set(sent.map(({ headers }) => headers[header]))).toEqual(new Set([value]));
    expect(existsSync(space.at("data/datagen.db"))).toBe(false);
  });

  test("says which limits and prices are the server's, and which are known here", async () => {
    const [known, unknown, ...rest] = await listed(["together"], environmentOf("together"));
    expect(rest).toEqual([]);
    expect(known).toMatchObject({
      title: "Llama 3.3 70B",
      context_window: { tokens: 131_000, source: "server", date: null },
      output_limit: null,
      prices: { input: 1.04, output: 1.04, batch_factor: 0.5 },
      stated_prices: { input: 0.9, cached_input: null, output: 0.9 },
    });
    expect(unknown).toMatchObject({ prices: null, stated_prices: { input: 0.2, cached_input: 0.05, output: 0.4 } });
    const [mini] = await listed(["openai"], environmentOf("openai"));
    expect(mini?.output_limit).toEqual({ tokens: 16_384, source: "datagen", date: expect.any(String) as string });
  });

  test("names models as they are where the key is a placeholder, such as a word of their names", async () => {
    const [model] = await listed(["--base-url", `${url}/local/v1`], { OPENAI_API_KEY: "local" });
    expect(model).toMatchObject({ model: "local/llama", title: "A local model" });
  });

  test("leaves out models that are retired or that answer with something else", async () => {
    const names = async (name: RemoteName) => (await listed([name], environmentOf(name))).map(({ model }) => model);
    expect(await names("anthropic")).toEqual([fakes.anthropic.model]);
    expect(await names("gemini")).toEqual([fakes.gemini.model]);
    expect(await names("together")).toEqual([fakes.together.model, "org/New"]);
  });

  test.each([
    ["vllm", "Qwen/Qwen3-8B", 40_960, null, null],
    ["router", "openai/gpt-oss-20b", 131_072, 32_768, { input: 0.05, cached_input: 0.025, output: 0.2 }],
    ["paged", "a", null, null, null],
  ])("reads the list of %s at --base-url", async (path, model, contextWindow, outputLimit, stated) => {
    const [row] = await listed(["--base-url", `${url}/${path}/v1`]);
    expect({
      model: row?.model,
      contextWindow: row?.context_window?.tokens ?? null,
      outputLimit: row?.output_limit?.tokens ?? null,
      stated: row?.stated_prices,
      prices: row?.prices,
    }).toEqual({ model, contextWindow, outputLimit, stated, prices: null });
  });

  test("reads all pages, and ends where a list does not", async () => {
    const namesAt = async (path: string) =>
      (await listed(["--base-url", `${url}/${path}/v1`])).map(({ model }) => model);
    expect(await namesAt("paged")).toEqual(["a", "b"]);
    expect(await namesAt("endless")).toEqual(["same"]);
    const { code, stdout, stderr } = await models(["--base-url", `${url}/counting/v1`, "--json"]);
    expect({ code, stderr }).toEqual({
      code: 0,
      stderr: `Warning: ${url}/counting/v1 lists more than 10000 models; the others are left out\n`,
    });
    expect(JSON.parse(stdout)).toHaveLength(10_000);
  });

  test("leaves out what is no model, and shows no key that a server has in a name", async () => {
    const key = { OPENAI_API_KEY: fakes.openai.key };
    expect(await listed(["--base-url", `${url}/odd/v1`], key)).toMatchObject([
      { model: "for [key]", title: "Of [key]" },
    ]);
  });

  test("prints a table without control characters", async () => {
    const { stdout } = await models(["--base-url", `${url}/router/v1`], { COLUMNS: "200" });
    expect(stdout).not.toContain(ESCAPE);
    expect(stdout).toContain(String.raw`Open \x1b[31mred`);
    expect(stdout).toMatch(/openai\/gpt-oss-20b +131,072 +32,768 +0\.05 +0\.20 +the server/);
    expect(stdout).toContain("datagen prices set MODEL");
  });

  test("asks every provider whose key is set, and says which one fails", async () => {
    const both = { ...environmentOf("together"), OPENAI_API_KEY: "sk-proj", OPENAI_BASE_URL: `${url}/refusing/v1` };
    const { code, stdout, stderr } = await models(["--json"], both);
    expect(code).toBe(1);
    expect(stderr).toContain(`${url}/refusing/v1 refused the API key: Incorrect API key provided`);
    expect((JSON.parse(stdout) as ModelRow[]).map(({ provider }) => provider)).toEqual(["together", "together"]);
  });

  test("sends no other provider's key to the server of --base-url", async () => {
    await listed(["--base-url", `${url}/vllm/v1`], { TOGETHER_API_KEY: fakes.together.key });
    expect([...keys].filter((key) => key?.includes(fakes.together.key))).toEqual([]);
    expect(keys.size).toBeGreaterThan(0);
  });

  test.each<[string, string[], Record<string, string>, RegExp, number]>([
    ["no server is named", [], {}, /no server is named, and none of .*OPENAI_API_KEY.* is set/, 2],
    ["a provider without a server", ["offline"], {}, /offline has no server that lists models/, 2],
    ["no key", ["openai"], {}, /OPENAI_API_KEY is not set, but OpenAI needs a key\n/, 2],
    ["an address that is no base URL", ["--base-url", "localhost"], {}, /--base-url is not a base URL/, 2],
  ])("is an error with %s", async (_, args, env, message, exitCode) => {
    const { code, stdout, stderr } = await models(args, env);
    expect({ code, stdout }).toEqual({ code: exitCode, stdout: "" });
    expect(stderr).toMatch(message);
  });

  test.each([
    ["no list", "nothing", /\/nothing\/v1 lists no models: Invalid URL \(GET \/nothing\/v1\/models\)/, 2],
    ["a page", "page", /\/page\/v1 lists no models: the server answered 200 with HTML/, 2],
  ])("is an error where the server has %s", async (_, path, message, exitCode) => {
    const { code, stderr } = await models(["--base-url", `${url}/${path}/v1`]);
    expect(code).toBe(exitCode);
    expect(stderr).toMatch(message);
  });

  test("is an error where the server does not answer", async () => {
    const gone = createServer().listen({ port: 0, host: "127.0.0.1" });
    await once(gone, "listening");
    const { port } = gone.address() as AddressInfo;
    gone.close();
    const { code, stderr } = await models(["--base-url", `http://127.0.0.1:${port}/v1`]);
    expect(code).toBe(3);
    expect(stderr).toMatch(/\/v1 has not answered: connect ECONNREFUSED/);
  });
});
