import { describe, expect, test } from "vitest";
import { providers } from "../../src/providers/index.ts";
import { configFor, type ConfigOverrides } from "../support/harness.ts";
import { datagenInTurn } from "../support/in-turn.ts";
import { openLab, PLAIN } from "../support/lab.ts";
import { fakes, REMOTE } from "../support/providers/index.ts";
import { startRecorder } from "../support/recorder.ts";
import { type Fault, type LoopbackServer, startServer } from "../support/server.ts";

const DATAGEN_API_KEY = "own-server-Hs9kRd4LmEw8cVn1QtYb6Zg3Xp0u";
const KEYS: Record<string, string> = {
  ...Object.fromEntries(REMOTE.map((name) => [providers[name].remote!.keyVariable, fakes[name].key])),
  DATAGEN_API_KEY,
};

/** What the SDKs would send beside a key. */
const BESIDE: Record<string, string> = Object.fromEntries(
  REMOTE.flatMap((name) => {
    const { variables, customHeaders } = fakes[name].beside;
    const lines = ["X-Team: team-hush", "no header", "X-Gateway: gateway-hush", "Authorization: Bearer header-hush"];
    return [...Object.entries(variables), ...(customHeaders === null ? [] : [[customHeaders, lines.join("\n")]])];
  }),
);

/** What goes to nobody but the provider that it is meant for. */
const SECRET = new RegExp(`hush|${REMOTE.map((name) => fakes[name].key).join("|")}`);

/** The headers that may carry a key. */
const KEY_HEADERS = REMOTE.map((name) => fakes[name].keyHeader("")[0]);

const keysSeen = (server: LoopbackServer) => server.requests.map(({ authorization }) => authorization);

describe.concurrent.each(REMOTE)("what goes to a URL: %s", (name) => {
  const { keyVariable, baseUrlVariable } = providers[name].remote!;
  const { key: own, beside, keyHeader } = fakes[name];
  const headerWith = (key: string) => Object.fromEntries([keyHeader(key)]);
  const configured = (base_url?: string): ConfigOverrides => ({
    api_provider: name,
    agent_perspectives: [PLAIN],
    model_config: { model_name: fakes[name].model, ...(base_url !== undefined && { base_url }) },
  });

  test("of a config goes neither the provider's key nor anything else of the environment", async () => {
    await using recorder = await startRecorder();
    await using lab = await openLab({ config: configured(`${recorder.url}/v1`) });
    const { code, stderr } = await lab.runConfig([], { ...KEYS, DATAGEN_API_KEY: undefined, ...BESIDE });
    expect(code, stderr).toBe(0);
    expect(recorder.headers).toHaveLength(1);
    for (const header of KEY_HEADERS) expect(recorder.headers[0]).not.toHaveProperty(header);
    expect(JSON.stringify(recorder.headers)).not.toMatch(SECRET);
  });

  test("of a config goes DATAGEN_API_KEY, where it is set", async () => {
    await using recorder = await startRecorder();
    await using lab = await openLab({ config: configured(`${recorder.url}/v1`) });
    const { code, stderr } = await lab.runConfig([], { ...KEYS, ...BESIDE });
    expect(code, stderr).toBe(0);
    expect(recorder.headers).toMatchObject([headerWith(DATAGEN_API_KEY)]);
    expect(JSON.stringify(recorder.headers)).not.toMatch(SECRET);
  });

  test("given by flag goes the provider's key, also where the config has the same URL", async () => {
    await using recorder = await startRecorder();
    const url = `${recorder.url}/v1`;
    await using lab = await openLab({ config: configured() });
    expect((await lab.runConfig(["--base-url", url], KEYS)).code).toBe(0);
    await lab.space.write("config.json", configFor(configured(url)));
    expect((await lab.runConfig(["--base-url", url, "--fresh"], KEYS)).code).toBe(0);
    expect(recorder.headers).toMatchObject([headerWith(own), headerWith(own)]);
  });

  test("given by flag go the other things that the environment sets for the provider", async () => {
    await using recorder = await startRecorder();
    await using lab = await openLab({ config: configured() });
    const { customHeaders } = beside;
    const headers = customHeaders !== null && { [customHeaders]: "X-Team: team-hush\nX-Gateway: gateway-hush" };
    const env = { ...KEYS, ...BESIDE, ...headers };
    expect((await lab.runConfig(["--base-url", recorder.url], env)).code).toBe(0);
    const sent = { ...(headers && { "x-team": "team-hush", "x-gateway": "gateway-hush" }), ...beside.headers };
    expect(recorder.headers).toMatchObject([{ ...headerWith(own), ...sent }]);
    if (!headers) expect(JSON.stringify(recorder.headers).replaceAll(own, "")).not.toMatch(SECRET);
  });

  test("given by environment goes the provider's key", async () => {
    await using recorder = await startRecorder();
    await using lab = await openLab({ config: configured() });
    expect((await lab.runConfig([], { ...KEYS, [baseUrlVariable]: `${recorder.url}/v1` })).code).toBe(0);
    expect(recorder.headers).toMatchObject([headerWith(own)]);
  });

  test("given by flag or environment go requests without any key where there is no key", async () => {
    await using recorder = await startRecorder();
    await using lab = await openLab({ config: configured() });
    const flag = await lab.runConfig(["--base-url", recorder.url], { DATAGEN_API_KEY });
    expect(flag.code, flag.stderr).toBe(0);
    const environment = await lab.runConfig(["--fresh"], { [baseUrlVariable]: recorder.url, [keyVariable]: "" });
    expect(environment.code, environment.stderr).toBe(0);
    expect(recorder.headers).toHaveLength(2);
    for (const headers of recorder.headers) {
      for (const header of KEY_HEADERS) expect(headers).not.toHaveProperty(header);
    }
  });

  test("that the server names in a redirect goes nothing", async () => {
    await using recorder = await startRecorder();
    const location = `${recorder.url}/v1/chat/completions`;
    await using server = await startServer({
      behave: () => ({ kind: "status", status: 307, headers: { location }, body: "" }),
    });
    await using lab = await openLab({ config: configured() });
    expect((await lab.runConfig(["--base-url", server[`${name}Url`]], KEYS)).code).toBe(3);
    expect(server.requests.length).toBeGreaterThan(0);
    expect(recorder.headers).toEqual([]);
  });

  test("resume keeps to the URL of the run, and to who gave it", async () => {
    const refused = (): Fault => ({ kind: "status", status: 401 });
    await using mine = await startServer({ behave: refused });
    await using other = await startServer();
    const url = mine[`${name}Url`];
    const elsewhere = { ...KEYS, [baseUrlVariable]: other[`${name}Url`] };
    const sources: [base_url: string | undefined, env: Record<string, string>, flags: string[], key: string][] = [
      [url, {}, [], DATAGEN_API_KEY],
      [undefined, {}, ["--base-url", url], own],
      [undefined, { [baseUrlVariable]: url }, [], own],
    ];
    for (const [base_url, env, flags, key] of sources) {
      await using lab = await openLab({ config: configured(base_url) });
      mine.behave = refused;
      mine.requests.length = 0;
      expect((await lab.runConfig(flags, { ...KEYS, ...env })).code).toBe(3);
      mine.behave = undefined;
      const { code, stderr } = await datagenInTurn(["resume", "latest", "--no-export"], {
        cwd: lab.space.path,
        env: elsewhere,
      });
      expect(code, stderr).toBe(0);
      const [, value] = keyHeader(key);
      expect(keysSeen(mine)).toEqual([value, value]);
    }
    expect(other.requests).toEqual([]);
  });
});
