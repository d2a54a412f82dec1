import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { RunDetails } from "../src/app/runs/show-run.ts";
import { callKeys } from "../src/plan/settings.ts";
import {
  type ConfigOverrides,
  configFor,
  expectedDataset,
  queryRows,
  rows,
  startDatagen,
  type Workspace,
  workspace,
} from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { type LoopbackServer, startServer } from "./support/server.ts";

const PLAIN = [{ condition: "Plain", reading: null, strategy: "Say it in English." }];
const KEY = { DATAGEN_API_KEY: "sk-lab", OPENAI_API_KEY: "sk-never" };

let servers: LoopbackServer[];
let space: Workspace;

beforeEach(async () => {
  space = await workspace();
  servers = await Promise.all([1, 2, 3].map(() => startServer()));
});

afterEach(async () => {
  for (const server of servers) await server[Symbol.asyncDispose]();
  await space[Symbol.asyncDispose]();
});

const urlsOf = (list: readonly LoopbackServer[]) => list.map(({ openaiUrl }) => openaiUrl);

async function write(inputs: number, overrides: ConfigOverrides = {}, list = servers): Promise<void> {
  await space.write("rows.json", rows(inputs));
  const { model_config: model, ...others } = overrides;
  const config = configFor({
    agent_perspectives: PLAIN,
    ...others,
    model_config: { base_url: urlsOf(list), ...model },
  });
  await space.write("config.json", config);
}

async function run(...args: string[]) {
  const result = await datagenInTurn(["run", "config.json", "--json", ...args], { cwd: space.path, env: KEY });
  const told =
    result.code === 0
      ? (JSON.parse(result.stdout) as {
          run: { id: string; calls: { reused: number; failed: number } };
          dataset: string;
        })
      : null;
  return { ...result, told };
}

const show = async () =>
  JSON.parse((await datagenInTurn(["runs", "show", "latest", "--json"], { cwd: space.path })).stdout) as RunDetails;

const sent = () => servers.map(({ requests }) => requests.length);

test("several servers of a model share the calls of a run, each with the key that it may get", async () => {
  for (const [at, server] of servers.entries()) server.latency = 20 + 150 * at;
  await write(120);
  const { code, stderr, told } = await run();
  expect(code, stderr).toBe(0);
  expect(stderr).toMatch(`gpt-4o-mini at ${urlsOf(servers).join(", ")}`);
  expect(sent().reduce((sum, count) => sum + count)).toBe(120);
  for (const { requests } of servers) {
    expect(requests.length).toBeGreaterThan(0);
    expect(new Set(requests.map(({ authorization }) => authorization))).toEqual(new Set(["Bearer sk-lab"]));
  }
  const { tasks } = await space.json<{ tasks: object[] }>(told?.dataset ?? "");
  expect(tasks).toEqual(expectedDataset(configFor({ agent_perspectives: PLAIN }), rows(120)).tasks);
  const details = await show();
  expect(details.servers).toEqual(
    urlsOf(servers).map((base_url, at) => ({
      base_url,
      answered: sent()[at],
      failed: 0,
      median_latency_ms: expect.any(Number) as number,
    })),
  );
  const [first, , third] = details.servers?.map((server) => server.median_latency_ms ?? 0) ?? [];
  expect(third).toBeGreaterThan(first ?? 0);
  expect(details.base_url).toBe(servers[0]?.openaiUrl);
  const text = (await datagenInTurn(["runs", "show", "latest"], { cwd: space.path })).stdout;
  expect(text).toMatch(/^server +3 servers, see below$/m);
  expect(text).toMatch(new RegExp(`^ *${servers[1]?.openaiUrl} +${sent()[1]} +0 +\\d`, "m"));
});

test("a server that goes away gets nothing but probes, and its calls go to the others; so do most calls of a slow one", async () => {
  const [gone, slow, fast] = servers as [LoopbackServer, LoopbackServer, LoopbackServer];
  for (const server of servers) server.latency = 40;
  const size = { data_config: { sample_size: 1_500 } };
  await write(1_500, { concurrency: 8, ...size });
  await using running = startDatagen(["run", "config.json", "--json"], { cwd: space.path, env: KEY });
  const until = async (done: () => boolean) => {
    while (!done()) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  await until(() => fast.requests.length > 40);
  slow.latency = 400;
  const before = { slow: slow.requests.length, fast: fast.requests.length };
  await gone.goDown();
  await running.waitFor(/ does not answer \(/);
  await gone.comeUp();
  const { code, stdout, stderr } = await running.done;
  expect(code, stderr).toBe(0);
  const { dataset } = JSON.parse(stdout) as { dataset: string };
  const { tasks } = await space.json<{ tasks: object[] }>(dataset);
  expect(tasks).toEqual(expectedDataset(configFor({ agent_perspectives: PLAIN, ...size }), rows(1_500)).tasks);
  expect(stderr).toMatch(`${gone.openaiUrl} does not answer (`);
  expect(stderr).toMatch(`${gone.openaiUrl} answers again.`);
  expect(stderr).not.toMatch("The provider answers nothing");
  expect(fast.requests.length - before.fast).toBeGreaterThan(2 * (slow.requests.length - before.slow));
  // Only the requests in flight when the server went away were lost.
  expect(sent().reduce((sum, count) => sum + count)).toBeLessThan(1_500 + 20);
});

test("a run stops when no server answers, and goes on with those that do", async () => {
  await write(30, { give_up_after_s: 2 });
  for (const server of servers) await server.goDown();
  const { code, stderr } = await run();
  expect(code, stderr).toBe(3);
  expect(stderr).toMatch("none of the 3 servers has answered for 2 seconds");
  await servers[2]?.comeUp();
  const resumed = await datagenInTurn(["resume", "latest", "--json"], { cwd: space.path, env: KEY });
  expect(resumed.code, resumed.stderr).toBe(0);
  expect(sent()).toEqual([0, 0, 30]);
});

test("a run that is killed goes on with all of its servers, and sends nothing again that was answered", async () => {
  for (const server of servers) server.latency = 30;
  await write(300, { concurrency: 6 });
  const count = () => sent().reduce((sum, each) => sum + each);
  for (const [round, args] of [
    ["run", "config.json"],
    ["resume", "latest"],
  ].entries()) {
    await using running = startDatagen([...args, "--no-export"], { cwd: space.path, env: KEY });
    while (count() < 80 * (round + 1)) await new Promise((resolve) => setTimeout(resolve, 5));
    running.kill();
    await running.done;
  }
  const { code, stdout, stderr } = await datagenInTurn(["resume", "latest", "--json"], { cwd: space.path, env: KEY });
  expect(code, stderr).toBe(0);
  const { dataset } = JSON.parse(stdout) as { dataset: string };
  const { tasks } = await space.json<{ tasks: object[] }>(dataset);
  expect(tasks).toEqual(expectedDataset(configFor({ agent_perspectives: PLAIN }), rows(300)).tasks);
  // Each kill loses at most what was in flight.
  expect(count()).toBeLessThanOrEqual(300 + 2 * 18);
});

describe("the keys of calls have", () => {
  test("the first URL, so that the others may change", async () => {
    const [a, b, c] = servers as [LoopbackServer, LoopbackServer, LoopbackServer];
    await write(5, {}, [a, b]);
    await run();
    await write(5, {}, [a, c]);
    expect((await run()).told?.run.calls.reused).toBe(5);
    await write(5, {}, [a]);
    expect((await run()).told?.run.calls.reused).toBe(5);
    await write(5, {}, [b, a]);
    expect((await run()).told?.run.calls.reused).toBe(0);
  });

  test("the name of the servers, if they have one", async () => {
    const [a, b, c] = servers as [LoopbackServer, LoopbackServer, LoopbackServer];
    const named = { model_config: { server: "lab-7" } };
    await write(5, named, [a, b]);
    await run();
    await write(5, named, [c]);
    expect((await run()).told?.run.calls.reused).toBe(5);
    expect(c.requests).toHaveLength(0);
    const [answer] = queryRows<{ key: string; value: string }>(
      space.at("data/datagen.db"),
      "select a.key, s.value from answers a join settings s on s.id = a.settings_id order by a.id limit 1",
    );
    const settings = JSON.parse(answer?.value ?? "") as Parameters<typeof callKeys>[0];
    expect(settings.base_url).toBe("server:lab-7");
    expect(settings.parameters).not.toHaveProperty("server");
    const input = rows(1)[0]?.input;
    const fence = "```";
    const content = `Say it in English.\n\n${fence}${input}${fence}Say it in English.\n\n`;
    expect(answer?.key).toBe(callKeys(settings)({ messages: [{ role: "user", content }] }));
  });
});

test("--base-url may be given several times, and replaces the servers of the config", async () => {
  const [a, b, c] = servers as [LoopbackServer, LoopbackServer, LoopbackServer];
  await write(20, {}, [a]);
  for (const server of servers) server.latency = 20;
  const { code, stderr } = await run("--base-url", b.openaiUrl, "--base-url", c.openaiUrl);
  expect(code, stderr).toBe(0);
  expect(a.requests).toHaveLength(0);
  expect(b.requests.length).toBeGreaterThan(0);
  expect(c.requests.length).toBeGreaterThan(0);
  // Named by a flag, these servers get the provider's key.
  expect(b.requests[0]?.authorization).toBe("Bearer sk-never");
});

test("every server that only a database names must be confirmed before it gets a key", async () => {
  const [a, b] = servers as [LoopbackServer, LoopbackServer];
  await write(6, {}, [a, b]);
  for (const server of [a, b]) server.behave = () => ({ kind: "status", status: 500 });
  await run("--base-url", a.openaiUrl, "--base-url", b.openaiUrl, "--no-export");
  for (const server of [a, b]) server.behave = undefined;
  const elsewhere = { cwd: space.path, env: { ...KEY, XDG_STATE_HOME: space.at("other-state") } };
  const resume = (...args: string[]) => datagenInTurn(["resume", "latest", "--retry-failed", ...args], elsewhere);
  const refused = await resume();
  expect(refused.code).toBe(2);
  expect(refused.stderr).toMatch(`uses ${a.openaiUrl}, a server that you have not named on this machine`);
  const half = await resume("--base-url", a.openaiUrl);
  expect(half.code).toBe(2);
  expect(half.stderr).toMatch(`uses ${b.openaiUrl}, a server that you have not named on this machine`);
  const other = await resume("--base-url", "http://127.0.0.1:9/v1");
  expect(other.stderr).toMatch(`uses ${a.openaiUrl}, ${b.openaiUrl}, but --base-url names another one`);
  const both = await resume("--base-url", a.openaiUrl, "--base-url", b.openaiUrl);
  expect(both.code, both.stderr).toBe(0);
});

test("what does not fit is said before anything is sent", async () => {
  await write(3);
  expect((await run("--batch")).stderr).toMatch("batches go to one server, but model_config.base_url names 3");
  const [url = ""] = urlsOf(servers);
  for (const [model, says] of [
    [{ base_url: [url, url] }, "model_config.base_url: expected different URLs, found ["],
    [{ base_url: [url, `${url}/`] }, "model_config.base_url: expected different URLs, found ["],
    [{ base_url: [url, url.replace("http:", "HTTP:")] }, "model_config.base_url: expected different URLs"],
    [
      { base_url: [] },
      "model_config.base_url: expected a URL such as http://localhost:11434/v1, or an array of URLs, found []",
    ],
    [{ base_url: undefined, server: "lab" }, "model_config.server: expected base_url beside it"],
    [{ server: "a b" }, "model_config.server: expected a name of 1 to 100 letters"],
    [{ base_url: [url, "ftp://x"] }, "model_config.base_url"],
  ] as const) {
    await write(3, { model_config: model });
    const { code, stderr } = await run();
    expect(code).toBe(2);
    expect(stderr).toContain(says);
  }
  await write(3);
  const twice = await run("--base-url", url, "--base-url", `${url}/`);
  expect(twice.code).toBe(2);
  expect(twice.stderr).toContain("--base-url: expected different URLs, found [");
  expect(sent()).toEqual([0, 0, 0]);
});
