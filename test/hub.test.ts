import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readdir, readFile, stat, symlink, writeFile } from "node:fs/promises";
import { createServer, request as requestOf } from "node:http";
import type { AddressInfo } from "node:net";
import { resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { type PullEvent, pullDataset } from "../src/app/data/pull-dataset.ts";
import { DatagenError } from "../src/errors.ts";
import { configFor, datagen, type Result, rows, startDatagen, type Workspace, workspace } from "./support/harness.ts";
import { datagenInTurn, type InTurnOptions } from "./support/in-turn.ts";
import { type FakeHub, type HubDataset, type HubOptions, parquetLike, startHub } from "./support/hub.ts";

const COMMIT = "c0ffee0123456789c0ffee0123456789c0ffee01";
const CONVERTED = "beef000123456789beef000123456789beef0001";
const TOKEN = "hf_of_the_user_0123456789";
const RECORD = ".datagen-source.json";

const BIN = resolve(import.meta.dirname, "../dist/main.js");

const TRAIN = parquetLike("train", 3_000_000);
const MORE = parquetLike("more", 70_000);
const TEST = parquetLike("test");

/** A dataset with Parquet files of its own. */
const own = (more: Partial<HubDataset> = {}): HubDataset => ({
  commit: COMMIT,
  cardData: { license: "cc-by-4.0" },
  files: {
    ".gitattributes": "*.parquet filter=lfs",
    "README.md": "# A dataset",
    "data/test-00000-of-00001.parquet": TEST,
    "data/train-00000-of-00002.parquet": TRAIN,
    "data/train-00001-of-00002.parquet": MORE,
  },
  ...more,
});

/** A dataset with a single file. */
const single = (content: Buffer = TRAIN, more: Partial<HubDataset> = {}): HubDataset =>
  own({ files: { "train.parquet": content }, ...more });

/** A dataset of another format, which the Hub has converted. */
const csv = (more: Partial<HubDataset> = {}): HubDataset => ({
  commit: COMMIT,
  tags: ["license:mit"],
  files: { "README.md": "# A dataset", "de/train.csv": "a,b\n", "en/train.csv": "a,b\n" },
  converted: {
    commit: CONVERTED,
    files: {
      "de/test/0000.parquet": parquetLike("de test"),
      "de/train/0000.parquet": parquetLike("de train 0"),
      "de/train/0001.parquet": parquetLike("de train 1"),
      "en/train/0000.parquet": parquetLike("en train"),
    },
  },
  ...more,
});

const hubOf = (dataset: HubDataset, more: Omit<HubOptions, "datasets"> = {}) =>
  startHub({ datasets: { "owner/name": dataset }, ...more });

function pull(
  space: Workspace,
  hub: FakeHub,
  args: string[] = [],
  options: Partial<InTurnOptions> = {},
): Promise<Result> {
  return datagenInTurn(["data", "pull", ...(args[0]?.startsWith("hf://") ? [] : ["hf://owner/name"]), ...args], {
    cwd: space.path,
    ...options,
    env: { HF_ENDPOINT: hub.url, ...options.env },
  });
}

async function pulled(...given: Parameters<typeof pull>): Promise<Result> {
  const result = await pull(...given);
  expect(result.code, result.stderr).toBe(0);
  return result;
}

/** A pull in this process, with short waits. */
async function failing(hub: FakeHub, space: Workspace, more: Partial<Parameters<typeof pullDataset>[1]> = {}) {
  const events: PullEvent[] = [];
  const error = await pullDataset("hf://owner/name", {
    output: space.at("out"),
    signal: new AbortController().signal,
    environment: { HF_ENDPOINT: hub.url, HF_TOKEN: TOKEN },
    patience: { waitsMs: [1, 1, 1], answerMs: 200, stalledMs: 200, wholeMs: 1_000 },
    onEvent: (event) => events.push(event),
    ...more,
  }).then(
    () => new Error("it ended right"),
    (thrown: unknown) => thrown,
  );
  if (!(error instanceof DatagenError)) throw error;
  return { error, events };
}

/** All files below a folder, with slashes. */
async function filesIn(folder: string): Promise<string[]> {
  if (!existsSync(folder)) return [];
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => !entry.isDirectory())
    .map((entry) => `${entry.parentPath}/${entry.name}`.slice(folder.length + 1))
    .toSorted();
}

const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

describe.concurrent("a pull", () => {
  test("of a dataset's own Parquet files brings all splits, with a record, and sends the token to the Hub alone", async () => {
    await using space = await workspace();
    await using hub = await hubOf(own(), { hasFileServer: true });
    const { stdout, stderr } = await pulled(space, hub, [], { env: { HF_TOKEN: TOKEN } });
    const folder = space.at("data/owner/name");
    expect(await filesIn(folder)).toEqual([
      RECORD,
      "data/test-00000-of-00001.parquet",
      "data/train-00000-of-00002.parquet",
      "data/train-00001-of-00002.parquet",
    ]);
    expect(sha256(await readFile(`${folder}/data/train-00000-of-00002.parquet`))).toBe(sha256(TRAIN));
    expect(sha256(await readFile(`${folder}/data/train-00001-of-00002.parquet`))).toBe(sha256(MORE));
    expect(JSON.parse(`{${stdout}}`)).toMatchObject({
      data_config: { input_data_path: "data/owner/name/data/test-00000-of-00001.parquet" },
    });
    expect(stderr).toMatch(/Pulled 3 files .* of owner\/name\.\n/);
    expect(stderr).toMatch(/data_config names test:\n/);
    expect(stderr).toContain('train: "data/owner/name/data/train-*.parquet"');
    expect(stderr).toContain(`commit ${COMMIT}, licence cc-by-4.0`);
    const { files } = await space.json<{ files: object[] }>(`data/owner/name/${RECORD}`);
    expect(files).toHaveLength(3);
    expect(files).toContainEqual({
      path: "data/train-00001-of-00002.parquet",
      size: MORE.length,
      sha256: sha256(MORE),
      dataset: "owner/name",
      revision: "main",
      commit: COMMIT,
      license: "cc-by-4.0",
      config: "default",
      split: "train",
      pulled_at: expect.stringMatching(/^\d{4}-.*Z$/),
    });
    expect(hub.requests.filter(({ host }) => host === "files")).toHaveLength(3);
    for (const { host, authorization } of hub.requests) {
      expect(authorization).toBe(host === "hub" ? `Bearer ${TOKEN}` : undefined);
    }
    expect(stderr + stdout + (await space.read(`data/owner/name/${RECORD}`))).not.toContain(TOKEN);
  });

  test("a second time fetches only what is missing or was removed", async () => {
    await using space = await workspace();
    await using hub = await hubOf(own(), { hasFileServer: true });
    await pulled(space, hub, ["--split", "test"]);
    hub.requests.length = 0;
    const all = await pulled(space, hub, ["--json"]);
    expect(hub.asked("data/test-").length).toBe(0);
    expect(hub.requests.filter(({ host }) => host === "files")).toHaveLength(2);
    hub.requests.length = 0;
    expect((await pulled(space, hub, ["--json"])).stdout).toBe(all.stdout);
    expect(hub.requests.map(({ url }) => url)).toEqual(["/api/datasets/owner/name/revision/main?blobs=true"]);
    const folder = "data/owner/name";
    expect(JSON.parse(all.stdout)).toEqual({
      files: ["test-00000-of-00001", "train-00000-of-00002", "train-00001-of-00002"].map(
        (name) => `${folder}/data/${name}.parquet`,
      ),
      data_config: { input_data_path: `${folder}/data/test-00000-of-00001.parquet` },
      dataset: "owner/name",
      revision: "main",
      commit: COMMIT,
      license: "cc-by-4.0",
    });
  });

  test("of a dataset in another format brings the files that the Hub has converted, at their commit", async () => {
    await using space = await workspace();
    await using hub = await hubOf(csv());
    const { stdout } = await pulled(space, hub, ["--config", "de", "--output", "here/de", "--json"]);
    expect(JSON.parse(stdout)).toEqual({
      files: ["here/de/de/test/0000.parquet", "here/de/de/train/0000.parquet", "here/de/de/train/0001.parquet"],
      data_config: { input_data_path: "here/de/de/test/0000.parquet" },
      dataset: "owner/name",
      revision: "refs/convert/parquet",
      commit: CONVERTED,
      license: "mit",
    });
    expect(hub.asked("de/train/0001.parquet").map(({ url }) => url)).toEqual([
      `/datasets/owner/name/resolve/${CONVERTED}/de/train/0001.parquet`,
    ]);
    const train = await pulled(space, hub, ["--config", "de", "--split", "train", "--output", "here/de", "--json"]);
    expect(JSON.parse(train.stdout)).toMatchObject({ data_config: { input_data_path: "here/de/de/train/*.parquet" } });
  });

  test("from a mirror that has only the list of converted files follows the list", async () => {
    await using space = await workspace();
    await using hub = await hubOf(csv({ isPlain: true }), {
      behave: ({ url }) => (url.includes("convert%2Fparquet?") ? { kind: "status", status: 404 } : undefined),
    });
    const args = ["--config", "de", "--split", "train", "--json"];
    const { stdout } = await pulled(space, hub, args);
    expect(JSON.parse(stdout)).toMatchObject({
      files: ["data/owner/name/de/train/0.parquet", "data/owner/name/de/train/1.parquet"],
      commit: COMMIT,
    });
    expect(sha256(await readFile(space.at("data/owner/name/de/train/1.parquet")))).toBe(
      sha256(parquetLike("de train 1")),
    );
    hub.requests.length = 0;
    expect((await pulled(space, hub, args)).stdout).toBe(stdout);
    expect(hub.requests.filter(({ url }) => url.includes(".parquet"))).toEqual([]);
  });

  test("says where the Hub has converted only a part", async () => {
    await using space = await workspace();
    const files = { "default/partial-train/0000.parquet": TEST };
    await using hub = await hubOf(csv({ converted: { commit: CONVERTED, files } }));
    const { stderr } = await pulled(space, hub);
    expect(stderr).toContain("Warning: the Hub has converted only the first part of default/train");
  });

  test("of a revision brings the files as they are there, and knows the branch of converted files", async () => {
    await using space = await workspace();
    await using hub = await hubOf(own({ revisions: ["v1.0"] }));
    await pulled(space, hub, ["hf://owner/name@v1.0", "--split", "test"]);
    expect(hub.requests[0]?.url).toBe("/api/datasets/owner/name/revision/v1.0?blobs=true");
    hub.datasets["owner/name"] = csv();
    for (const revision of ["refs/convert/parquet", "~parquet"]) {
      const { stdout } = await pulled(space, hub, [
        `hf://owner/name@${revision}`,
        "--config",
        "en",
        "--output",
        "out",
        "--json",
      ]);
      expect(JSON.parse(stdout)).toMatchObject({ files: ["out/en/train/0000.parquet"], commit: CONVERTED });
    }
    const none = await pull(space, hub, [`hf://owner/name@${COMMIT}`]);
    expect(none.code).toBe(2);
    expect(none.stderr).toMatch(/owner\/name has no Parquet files of its own at c0ffee/);
    const unknown = await pull(space, hub, ["hf://owner/name@v9"]);
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain("owner/name has no revision v9");
  });

  test("of a dataset without an owner, and by the name that other tools use", async () => {
    await using space = await workspace();
    await using hub = await startHub({ datasets: { squad: own() } });
    for (const name of ["hf://squad", "hf://datasets/squad"]) {
      const { stdout } = await pulled(space, hub, [name, "--split", "test", "--json"]);
      expect(JSON.parse(stdout)).toMatchObject({
        files: ["data/squad/data/test-00000-of-00001.parquet"],
        dataset: "squad",
      });
    }
  });

  test("follows the configs of the dataset's card", async () => {
    await using space = await workspace();
    const configs = [
      {
        config_name: "plain",
        data_files: [
          { split: "test", path: "plain/held-out.parquet" },
          { split: "train", path: ["plain/part-*.parquet", "more/**/x?.parquet"] },
        ],
      },
      { config_name: "rest", data_files: "rest.parquet" },
      { config_name: "folder", data_dir: "other" },
    ];
    const files = Object.fromEntries(
      [
        "plain/held-out",
        "plain/part-a",
        "plain/part-b",
        "more/x0",
        "more/a/b/x1",
        "more/a/y1",
        "rest",
        "other/dev",
      ].map((name) => [`${name}.parquet`, parquetLike(name)]),
    );
    await using hub = await hubOf(own({ cardData: { configs, license: ["mit", "odbl"] }, files }));
    const filesOf = async (...args: string[]) => {
      const { stdout } = await pulled(space, hub, ["--output", "out", "--json", ...args]);
      return (JSON.parse(stdout) as { files: string[] }).files.map((path) =>
        path.replace(/^out\/(.*)\.parquet$/, "$1"),
      );
    };
    expect(await filesOf("--config", "plain", "--split", "train")).toEqual([
      "plain/part-a",
      "plain/part-b",
      "more/x0",
      "more/a/b/x1",
    ]);
    expect(await filesOf("--config", "plain", "--split", "test")).toEqual(["plain/held-out"]);
    expect(await filesOf("--config", "rest", "--split", "train")).toEqual(["rest"]);
    expect(await filesOf("--config", "folder", "--split", "validation")).toEqual(["other/dev"]);
    expect(await space.json(`out/${RECORD}`)).toMatchObject({
      files: expect.arrayContaining([expect.objectContaining({ license: "mit, odbl" })]),
    });
  });
});

describe.concurrent("a choice", () => {
  const NAMES: [name: string, message: RegExp][] = [
    ["owner/name", /owner\/name is not the name of a dataset\nExpected hf:\/\/OWNER\/NAME/],
    ["hf://", /cannot be the name of a dataset/],
    ["hf://owner/", /cannot be the name of a dataset/],
    ["hf://../name", /cannot be the name of a dataset/],
    ["hf://owner/na..me", /cannot be the name of a dataset/],
    ["hf://owner/na--me", /cannot be the name of a dataset/],
    ["hf://owner/name.git", /cannot be the name of a dataset/],
    ["hf://owner/na me", /cannot be the name of a dataset/],
    ["hf://owner/name?x=1", /cannot be the name of a dataset/],
    ["hf://owner\\..\\name", /cannot be the name of a dataset/],
    ["hf://owner/name/data/train.parquet", /names a file in a dataset; only whole datasets are pulled/],
    ["hf://owner/name@", /"" cannot be a revision/],
    ["hf://owner/name@a/../b", /cannot be a revision/],
    ["hf://owner/name@a b", /cannot be a revision/],
  ];
  test.for(NAMES)("%s is refused before anything is sent", async ([name, message]) => {
    await using space = await workspace();
    await using hub = await startHub({ datasets: {} });
    const { code, stderr } = await datagenInTurn(["data", "pull", name], {
      cwd: space.path,
      env: { HF_ENDPOINT: hub.url },
    });
    expect(code).toBe(2);
    expect(stderr).toMatch(message);
    expect(hub.requests).toEqual([]);
  });

  test("of a config or split that does not exist names those there are", async () => {
    await using space = await workspace();
    await using hub = await hubOf(csv());
    const none = await pull(space, hub);
    expect(none.stderr).toBe("Error: owner/name has 2 configs: de, en\nChoose one with --config.\n");
    const config = await pull(space, hub, ["--config", "fr"]);
    expect(config.stderr).toMatch(/^Error: owner\/name has no config fr; it has de, en\n/);
    const split = await pull(space, hub, ["--config", "de", "--split", "dev"]);
    expect(split.stderr).toMatch(/^Error: owner\/name has no split dev in the config de; it has test, train\n/);
    expect([none.code, config.code, split.code]).toEqual([2, 2, 2]);
    expect(await filesIn(space.path)).toEqual([]);
  });

  test("is not needed where a config is called default", async () => {
    await using space = await workspace();
    const files = { "default/train/0000.parquet": TEST, "en/train/0000.parquet": TEST };
    await using hub = await hubOf(csv({ converted: { commit: CONVERTED, files } }));
    const { stdout } = await pulled(space, hub, ["--json"]);
    expect(JSON.parse(stdout)).toMatchObject({ files: ["data/owner/name/default/train/0000.parquet"] });
  });
});

describe.concurrent("a refusal", () => {
  const error = (code: string, message = "") => ({ "x-error-code": code, "x-error-message": message });
  const CASES: [
    name: string,
    token: string | undefined,
    status: number,
    headers: Record<string, string>,
    message: RegExp,
  ][] = [
    [
      "of a dataset that does not exist",
      undefined,
      401,
      error("RepoNotFound", "Invalid username or password."),
      /there is no dataset owner\/name at http.*\n.*set HF_TOKEN/,
    ],
    [
      "of a dataset that the token cannot see",
      TOKEN,
      404,
      error("RepoNotFound", "Repository not found"),
      /there is no dataset owner\/name.*\n.*HF_TOKEN must be allowed/,
    ],
    [
      "of the token",
      TOKEN,
      401,
      error("", "Invalid credentials in Authorization header"),
      /HF_TOKEN is refused.*Invalid credentials in Authorization header/,
    ],
    [
      "of a gated dataset without a token",
      undefined,
      401,
      error("GatedRepo"),
      /owner\/name is gated.*\nAccept them at http.*\/datasets\/owner\/name, and set HF_TOKEN/,
    ],
    [
      "of a gated dataset",
      TOKEN,
      403,
      error("GatedRepo"),
      /owner\/name is gated.*\nAccept them at .* with the account of HF_TOKEN/,
    ],
    [
      "of access",
      TOKEN,
      403,
      error("", "Forbidden: pass \u001b[31mred"),
      /access to owner\/name is refused: .*403 \(Forbidden: pass/,
    ],
    ["that repeats the token", TOKEN, 403, error("", `bad ${TOKEN}`), /bad \[token\]/],
    ["of what the Hub cannot do", undefined, 501, error("", "Not supported"), /the Hub answered 501 \(Not supported\)/],
    ["without a reason", undefined, 418, {}, /the Hub answered 418/],
    ["of a dataset that is gone", undefined, 410, {}, /owner\/name has no revision main/],
  ];
  test.for(CASES)("%s is said, with exit code 2, and writes nothing", async ([, token, status, headers, message]) => {
    await using space = await workspace();
    const safe = Object.fromEntries(
      Object.entries(headers).map(([name, value]) => [name, value.replace("\u001b", "")]),
    );
    await using hub = await hubOf(own(), { behave: () => ({ kind: "status", status, headers: safe }) });
    const { code, stderr, stdout } = await pull(space, hub, [], { env: { HF_TOKEN: token } });
    expect(code, stderr).toBe(2);
    expect(stderr).toMatch(message);
    expect(stderr).not.toContain(TOKEN);
    expect(stdout).toBe("");
    expect(hub.requests).toHaveLength(1);
    expect(await filesIn(space.path)).toEqual([]);
  });

  test("of a file is said, too", async () => {
    await using space = await workspace();
    await using hub = await hubOf(own(), {
      behave: ({ url }) =>
        url.includes("resolve") ? { kind: "status", status: 403, headers: error("GatedRepo") } : undefined,
    });
    const { code, stderr } = await pull(space, hub);
    expect(code).toBe(2);
    expect(stderr).toMatch(/owner\/name is gated/);
  });

  test("of a dataset that the Hub has not converted", async () => {
    await using space = await workspace();
    await using hub = await hubOf({ ...csv(), converted: undefined! });
    const { code, stderr } = await pull(space, hub);
    expect(code).toBe(2);
    expect(stderr).toMatch(/owner\/name has no Parquet files, and the Hub has not converted it\n/);
  });
});

describe.concurrent("the token", () => {
  test("follows no redirect to another host, and another port is another host", async () => {
    await using space = await workspace();
    await using elsewhere = await hubOf(own());
    await using hub = await hubOf(own(), {
      behave: ({ url }) => (url.includes("resolve") ? { kind: "redirect", to: `${elsewhere.url}${url}` } : undefined),
    });
    await pulled(space, hub, [], { env: { HF_TOKEN: TOKEN } });
    expect(elsewhere.requests).toHaveLength(3);
    expect(elsewhere.requests.map(({ authorization }) => authorization)).toEqual([undefined, undefined, undefined]);
  });

  test("is not sent again after a redirect back to the Hub", async () => {
    await using space = await workspace();
    await using elsewhere = await hubOf(single(), {
      behave: ({ url }) => ({ kind: "redirect", to: `${home()}${url}?again` }),
    });
    await using hub = await hubOf(single(), {
      behave: ({ url }) =>
        url.includes("resolve") && !url.includes("again")
          ? { kind: "redirect", to: `${elsewhere.url}${url}` }
          : undefined,
    });
    function home() {
      return hub.url;
    }
    await pulled(space, hub, [], { env: { HF_TOKEN: TOKEN } });
    expect(hub.asked("train.parquet").map(({ authorization }) => authorization)).toEqual([
      `Bearer ${TOKEN}`,
      undefined,
    ]);
  });

  test("of the shell does not go to an endpoint that only .env names", async () => {
    await using space = await workspace();
    await using hub = await hubOf(single(TEST));
    const env = { HF_ENDPOINT: undefined, HF_TOKEN: TOKEN };
    await space.write(".env", `HF_ENDPOINT=${hub.url}\n`);
    await pulled(space, hub, ["--output", "a"], { env });
    await space.write(".env", `HF_ENDPOINT=${hub.url}\nHF_TOKEN=hf_of_the_file\n`);
    await pulled(space, hub, ["--output", "b"], { env });
    await pulled(space, hub, ["--output", "c"]);
    await pulled(space, hub, ["--output", "d"], { env: { HF_TOKEN: TOKEN } });
    expect(hub.asked("train.parquet").map(({ authorization }) => authorization)).toEqual([
      undefined,
      "Bearer hf_of_the_file",
      "Bearer hf_of_the_file",
      `Bearer ${TOKEN}`,
    ]);
  });

  test("with a line break, and an endpoint that is no URL, are refused", async () => {
    await using space = await workspace();
    await using hub = await startHub({ datasets: {} });
    expect(await pull(space, hub, [], { env: { HF_TOKEN: "hf_a\nb" } })).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/^Error: HF_TOKEN has a character/),
    });
    for (const url of ["hub.example", "ftp://127.0.0.1", "http://user:pass@127.0.0.1"]) {
      expect(await pull(space, hub, [], { env: { HF_ENDPOINT: url } })).toMatchObject({
        code: 2,
        stderr: expect.stringMatching(/^Error: HF_ENDPOINT is not a base URL/),
      });
    }
    expect(hub.requests).toEqual([]);
  });
});

describe.concurrent("redirects", () => {
  test("of lists are followed on the Hub only, as after a dataset was renamed", async () => {
    await using space = await workspace();
    await using hub = await startHub({
      datasets: { "owner/new": single(TEST) },
      behave: ({ url }) =>
        url.includes("owner/name")
          ? { kind: "redirect", to: url.replace("owner/name", "owner/new"), status: 307 }
          : undefined,
    });
    await pulled(space, hub);
    await using other = await startHub({
      datasets: { "owner/name": single(TEST) },
      behave: ({ url }) => ({ kind: "redirect", to: `${hub.url}${url}` }),
    });
    hub.requests.length = 0;
    const { error } = await failing(other, space);
    expect(error).toMatchObject({ exitCode: 3, message: expect.stringMatching(/redirects to 127\.0\.0\.1/) });
    expect(hub.requests).toEqual([]);
  });

  test.for(["loop", "file:///etc/passwd", "javascript:1", "data:,PAR1PAR1", ""])("to %s end the pull", async (to) => {
    await using space = await workspace();
    await using hub = await hubOf(single(), {
      behave: ({ url }) => (url.includes("resolve") ? { kind: "redirect", to: to === "loop" ? url : to } : undefined),
    });
    const { error } = await failing(hub, space);
    expect(error).toMatchObject({
      exitCode: 3,
      message: expect.stringMatching(/redirects more than 5 times|is not followed/),
    });
  });
});

describe.concurrent("a server that fails", () => {
  test("for a while is asked again, after the time that it names", async () => {
    await using space = await workspace();
    const faults: Record<string, { status: number; headers?: Record<string, string> }> = {
      "revision 1": { status: 429, headers: { "retry-after": "1" } },
      "revision 2": { status: 429, headers: { ratelimit: '"api";r=0;t=0' } },
      "revision 3": { status: 429 },
      "resolve 1": { status: 500 },
      "resolve 2": { status: 503, headers: { "retry-after": "Thu, 01 Jan 2026 00:00:00 GMT" } },
    };
    await using hub = await hubOf(single(), {
      behave: ({ url, nth }) => {
        const fault = faults[`${/revision|resolve/.exec(url)?.[0]} ${nth}`];
        return fault && { kind: "status", ...fault };
      },
    });
    const { stderr } = await pulled(space, hub);
    expect(stderr).toMatch(/The Hub answered 429\. Asking again in 0:01\./);
    expect(stderr).toMatch(/The Hub answered 500/);
    expect(hub.requests).toHaveLength(7);
    expect(sha256(await readFile(space.at("data/owner/name/train.parquet")))).toBe(sha256(TRAIN));
  });

  test("for too long ends the pull with exit code 3, and the same command continues", async () => {
    await using space = await workspace();
    let isDown = true;
    await using hub = await hubOf(own(), {
      behave: ({ url }) => (isDown && url.includes("train-00001") ? { kind: "status", status: 500 } : undefined),
    });
    const { code, stderr } = await pull(space, hub);
    expect(code, stderr).toBe(3);
    expect(stderr).toMatch(/Error: the Hub answered 500\nPull again with the same command: it continues/);
    isDown = false;
    hub.requests.length = 0;
    await pulled(space, hub);
    expect(hub.requests.filter(({ url }) => url.includes("resolve"))).toHaveLength(1);
  });

  test("asks to wait for an hour: nobody waits", async () => {
    await using space = await workspace();
    await using hub = await hubOf(own(), {
      behave: () => ({ kind: "status", status: 429, headers: { "retry-after": "3600" } }),
    });
    const { code, stderr } = await pull(space, hub);
    expect(code).toBe(3);
    expect(stderr).toBe(
      "Error: the Hub answered 429\nIt asks to wait 60 minutes. Then pull again with the same command: it continues.\n",
    );
    expect(hub.requests).toHaveLength(1);
  });

  test("does not answer, or stops in the middle of a body, ends the pull with exit code 3", async () => {
    for (const place of ["revision", "resolve"]) {
      for (const after of [undefined, place === "revision" ? 20 : 100_000]) {
        await using space = await workspace();
        await using hub = await hubOf(single(), {
          behave: ({ url }) =>
            url.includes(place) ? { kind: "hang", ...(after !== undefined && { after }) } : undefined,
        });
        const { error } = await failing(hub, space);
        expect(error).toMatchObject({
          exitCode: 3,
          message: expect.stringMatching(/does not answer in time/),
        });
      }
    }
  });

  test("is not there", async () => {
    await using space = await workspace();
    await using hub = await hubOf(single());
    await hub[Symbol.asyncDispose]();
    const { error } = await failing(hub, space);
    expect(error).toMatchObject({ exitCode: 3, message: expect.stringMatching(/does not answer \(ECONNREFUSED\)/) });
  });

  test("cuts bodies is asked for the rest each time", async () => {
    await using space = await workspace();
    await using hub = await hubOf(single(), {
      hasFileServer: true,
      behave: ({ host, nth }) => (host === "files" && nth < 4 ? { kind: "cut", after: 700_000 } : undefined),
    });
    await pulled(space, hub);
    expect(sha256(await readFile(space.at("data/owner/name/train.parquet")))).toBe(sha256(TRAIN));
    const asked = hub.requests.filter(({ host }) => host === "files");
    expect(asked[0]?.range).toBeUndefined();
    expect(asked).toHaveLength(4);
    for (const { range } of asked.slice(1)) expect(range).toMatch(/^bytes=\d+-$/);
    expect(asked.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThan(TRAIN.length + 3 * 700_000);
  });

  test("cuts a list, or sends a page in place of it", async () => {
    await using space = await workspace();
    await using hub = await hubOf(single(TEST), {
      behave: ({ url, nth }) => {
        if (!url.includes("revision") || nth > 2) return undefined;
        return nth === 1
          ? { kind: "cut", after: 20 }
          : { kind: "body", body: "<html>Log in</html>", headers: { "content-type": "text/html" } };
      },
    });
    const { stderr } = await pulled(space, hub);
    expect(stderr).toMatch(/with something that is not JSON \(text\/html\)/);
  });
});

describe.concurrent("what arrives wrong", () => {
  const CASES: [
    name: string,
    fault: Parameters<NonNullable<HubOptions["behave"]>>[0] extends never ? never : object,
    message: RegExp,
  ][] = [
    [
      "other bytes",
      { kind: "body", body: parquetLike("other", TRAIN.length) },
      /arrived with the SHA-256 \w+, not with/,
    ],
    ["fewer bytes", { kind: "body", body: TEST }, /states 3000000 and 1000 bytes/],
    [
      "fewer bytes without a length",
      { kind: "body", body: TEST, isChunked: true },
      /ended after 1000 of 3000000 bytes/,
    ],
    [
      "more bytes without a length",
      { kind: "body", body: parquetLike("x", 4_000_000), isChunked: true },
      /is longer than the 3000000 bytes/,
    ],
    [
      "another size in the header",
      { kind: "headers", headers: { "x-linked-size": "12" } },
      /states 3000000 and 12 bytes/,
    ],
    [
      "another hash in the header",
      { kind: "headers", headers: { "x-linked-etag": `"${"a".repeat(64)}"` } },
      /has another train\.parquet than its list says/,
    ],
    ["a compressed body", { kind: "headers", headers: { "content-encoding": "gzip" } }, /compressed/],
  ];
  test.for(CASES)("%s, is not kept", async ([, fault, message]) => {
    await using space = await workspace();
    await using hub = await hubOf(single(), {
      behave: ({ url }) => (url.includes("resolve") ? (fault as never) : undefined),
    });
    const { error } = await failing(hub, space);
    expect(error).toMatchObject({ exitCode: 3, message: expect.stringMatching(message) });
    expect(existsSync(space.at("out/train.parquet"))).toBe(false);
  });

  test("is fetched once more, and may then be right", async () => {
    await using space = await workspace();
    await using hub = await hubOf(single(), {
      behave: ({ url, nth }) =>
        url.includes("resolve") && nth === 1 ? { kind: "body", body: parquetLike("other", TRAIN.length) } : undefined,
    });
    await pulled(space, hub);
    expect(sha256(await readFile(space.at("data/owner/name/train.parquet")))).toBe(sha256(TRAIN));
  });

  test("without any hash or size must be a Parquet file, and of the commit", async () => {
    await using space = await workspace();
    await using hub = await hubOf(single(TRAIN, { isPlain: true }), {
      behave: ({ url }) => (url.includes("resolve") ? { kind: "body", body: "<html>Log in</html>" } : undefined),
    });
    expect((await failing(hub, space)).error).toMatchObject({
      exitCode: 3,
      message: "what arrived as train.parquet is not a Parquet file",
    });
    await using other = await hubOf(single(TRAIN, { isPlain: true }), {
      behave: ({ url }) =>
        url.includes("resolve") ? { kind: "headers", headers: { "x-repo-commit": CONVERTED } } : undefined,
    });
    expect((await failing(other, space)).error.message).toMatch(/of the commit beef\w+, not of c0ffee/);
  });
});

describe.concurrent("a pull that was stopped", () => {
  /** Starts a pull, and ends it while the file arrives. */
  async function stopped(space: Workspace, hub: FakeHub, signal: NodeJS.Signals): Promise<Result> {
    await using running = startDatagen(["data", "pull", "hf://owner/name"], {
      cwd: space.path,
      env: { HF_ENDPOINT: hub.url },
    });
    const part = space.at("data/owner/name/train.parquet.part");
    await expect.poll(async () => (await stat(part).catch(() => null))?.size ?? 0, { timeout: 20_000 }).toBe(1_000_000);
    running.kill(signal);
    return await running.done;
  }

  const hangingOnce = (dataset: HubDataset, hasFileServer: boolean) => {
    let isFirst = true;
    return hubOf(dataset, {
      hasFileServer,
      behave: ({ host, url }) => {
        if (host !== (hasFileServer ? "files" : "hub") || !url.includes("train.parquet") || !isFirst) return undefined;
        isFirst = false;
        return { kind: "hang", after: 1_000_000 };
      },
    });
  };

  test.for<[what: string, dataset: HubDataset, hasFileServer: boolean]>([
    ["in LFS, on another server", single(), true],
    ["in LFS, on the Hub", single(), false],
    ["in git", single(TRAIN, { isPlain: true }), false],
  ])("by SIGKILL fetches only the rest of a file %s", async ([, dataset, hasFileServer]) => {
    await using space = await workspace();
    await using hub = await hangingOnce(dataset, hasFileServer);
    expect((await stopped(space, hub, "SIGKILL")).signal).toBe("SIGKILL");
    expect(existsSync(space.at("data/owner/name/train.parquet"))).toBe(false);
    hub.requests.length = 0;
    await pulled(space, hub);
    const rest = hub.requests.filter(({ status }) => status === 206);
    expect(rest.map(({ range, bytes }) => [range, bytes])).toEqual([["bytes=1000000-", TRAIN.length - 1_000_000]]);
    if (!hasFileServer) expect(rest[0]?.ifRange).toMatch(/^"\w+"$/);
    expect(sha256(await readFile(space.at("data/owner/name/train.parquet")))).toBe(sha256(TRAIN));
    expect(await filesIn(space.at("data/owner/name"))).toEqual([RECORD, "train.parquet"]);
  });

  test("by Ctrl-C ends with 130 and says how to go on", async () => {
    await using space = await workspace();
    await using hub = await hangingOnce(single(), true);
    const { code, stderr } = await stopped(space, hub, "SIGINT");
    expect(code, stderr).toBe(130);
    expect(stderr).toMatch(/The pull was interrupted\.\nPull again with the same command: it continues/);
    await pulled(space, hub);
    expect(sha256(await readFile(space.at("data/owner/name/train.parquet")))).toBe(sha256(TRAIN));
  });

  test("starts anew where the server ignores the header Range", async () => {
    await using space = await workspace();
    let isKilled = false;
    await using hub = await hubOf(single(), {
      behave: ({ url }) =>
        url.includes("resolve") ? (isKilled ? { kind: "noRange" } : { kind: "hang", after: 1_000_000 }) : undefined,
    });
    await stopped(space, hub, "SIGKILL");
    isKilled = true;
    await pulled(space, hub);
    expect(sha256(await readFile(space.at("data/owner/name/train.parquet")))).toBe(sha256(TRAIN));
  });

  const CHANGES: [what: string, isPlain: boolean, change: (hub: FakeHub, content: Buffer) => void][] = [
    [
      "at a new commit",
      false,
      (hub, content) => void (hub.datasets["owner/name"] = single(content, { commit: CONVERTED })),
    ],
    [
      "in git, under the same commit",
      true,
      (hub, content) => void (hub.datasets["owner/name"] = single(content, { isPlain: true })),
    ],
  ];
  test.for(CHANGES)("starts anew where the file has changed %s", async ([, isPlain, change]) => {
    await using space = await workspace();
    await using hub = await hangingOnce(single(TRAIN, { isPlain }), false);
    await stopped(space, hub, "SIGKILL");
    const changed = parquetLike("changed", TRAIN.length);
    change(hub, changed);
    await pulled(space, hub);
    expect(sha256(await readFile(space.at("data/owner/name/train.parquet")))).toBe(sha256(changed));
  });

  test("starts anew where a server sends the rest of a changed file as if it were the same", async () => {
    await using space = await workspace();
    let isKilled = false;
    await using hub = await hubOf(single(TRAIN, { isPlain: true }), {
      behave: ({ url }) => {
        if (!url.includes("resolve")) return undefined;
        return isKilled ? { kind: "noCondition" } : { kind: "hang", after: 1_000_000 };
      },
    });
    await stopped(space, hub, "SIGKILL");
    isKilled = true;
    const changed = parquetLike("changed", TRAIN.length);
    hub.datasets["owner/name"] = single(changed, { isPlain: true });
    await pulled(space, hub);
    expect(sha256(await readFile(space.at("data/owner/name/train.parquet")))).toBe(sha256(changed));
  });

  test("does not trust what stands in its place", async () => {
    await using space = await workspace();
    await using hub = await hangingOnce(single(), false);
    await stopped(space, hub, "SIGKILL");
    // The right length, other bytes: only the hash can tell.
    await writeFile(space.at("data/owner/name/train.parquet.part"), Buffer.alloc(2_000_000, 1));
    await pulled(space, hub);
    expect(sha256(await readFile(space.at("data/owner/name/train.parquet")))).toBe(sha256(TRAIN));
    for (const note of ["", "{}", "null", '{"url":1}', "x".repeat(100_000)]) {
      await using other = await workspace();
      await other.write("data/owner/name/train.parquet.part", "PAR1");
      await other.write("data/owner/name/train.parquet.part.json", note);
      await pulled(other, hub);
      expect(sha256(await readFile(other.at("data/owner/name/train.parquet")))).toBe(sha256(TRAIN));
    }
  });
});

describe.concurrent("file names of the Hub", () => {
  test.for([
    "../evil.parquet",
    "a/../../evil.parquet",
    "/etc/evil.parquet",
    "a//evil.parquet",
    "a\\..\\..\\evil.parquet",
    "C:evil.parquet",
    "con.parquet",
    "a/NUL/x.parquet",
    "a/lpt1.x/y.parquet",
    "tab\t.parquet",
    "red\u001b[31m.parquet",
    "turned\u202e.parquet",
    ".hidden/x.parquet",
    "a /x.parquet",
    "a./x.parquet",
    "what?.parquet",
    `${"a".repeat(300)}.parquet`,
    `${"a/".repeat(50)}x.parquet`,
  ])("such as %j are refused, and nothing is written", async (name) => {
    await using space = await workspace();
    await using hub = await hubOf(own({ files: { "good.parquet": TEST, [name]: TEST } }));
    const config = [
      "default",
      name
        .split("/")
        .slice(0, -1)
        .filter((part) => part !== "data")
        .join("/"),
    ];
    for (const each of new Set(config)) {
      const { code, stderr } = await pull(space, hub, each === "" ? [] : [`--config=${each}`]);
      if (code === 0 || /has no config/.test(stderr)) continue;
      expect(code).toBe(2);
      expect(stderr).toMatch(/names are not safe; nothing was pulled/);
      // oxlint-disable-next-line no-control-regex -- what a terminal obeys must not be there
      expect(stderr).not.toMatch(/[\u001b\u202e\t]/);
      expect(hub.requests.some(({ url }) => url.includes("evil"))).toBe(false);
    }
    expect((await filesIn(space.path)).filter((path) => !/good\.parquet$|source\.json$/.test(path))).toEqual([]);
  });

  test("that differ only in their case are refused", async () => {
    await using space = await workspace();
    await using hub = await hubOf(own({ files: { "Train.parquet": TEST, "train.parquet": TEST } }));
    const { code, stderr } = await pull(space, hub);
    expect(code).toBe(2);
    expect(stderr).toMatch(/on some systems it is the same file as/);
  });

  test("in the list of converted files count by their path only", async () => {
    await using space = await workspace();
    await using elsewhere = await startHub({ datasets: {} });
    const list = (url: string) => ({ kind: "body" as const, body: JSON.stringify({ default: { train: [url] } }) });
    const CASES: [url: string, outcome: number, message?: RegExp][] = [
      [`${elsewhere.url}/api/datasets/owner/name/parquet/default/train/0.parquet`, 0],
      ["file:///etc/passwd", 2, /lists "file:\/\/\/etc\/passwd" as a Parquet file/],
      ["not a URL", 2, /as a Parquet file/],
      ["https://huggingface.co/datasets/owner/name/resolve/x/%2e%2e%2f%2e%2e%2fevil.parquet", 2, /not safe/],
    ];
    for (const [url, outcome, message] of CASES) {
      await using hub = await hubOf(
        csv({ converted: { commit: CONVERTED, files: { "default/train/0000.parquet": TEST } } }),
        {
          behave: ({ url: asked }) => {
            if (asked.endsWith("/parquet")) return list(url);
            return asked.includes("convert%2Fparquet?") ? { kind: "status", status: 404 } : undefined;
          },
        },
      );
      const { code, stderr } = await pull(space, hub, ["--output", `out${outcome}`]);
      expect(code, stderr).toBe(outcome);
      if (message) expect(stderr).toMatch(message);
    }
    expect(elsewhere.requests).toEqual([]);
  });

  test("lead nowhere through links, and replace no file of the user's", async () => {
    await using space = await workspace();
    await using outside = await workspace();
    await using hub = await hubOf(own());
    const folder = space.at("data/owner/name");
    await mkdir(folder, { recursive: true });
    await symlink(outside.path, `${folder}/data`);
    expect(await pull(space, hub)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/name\/data is not a folder\n/),
    });
    for (const ending of ["", ".part"]) {
      await mkdir(space.at(`two${ending}/data`), { recursive: true });
      await symlink(outside.at("target"), space.at(`two${ending}/data/test-00000-of-00001.parquet${ending}`));
      const { code, stderr } = await pull(space, hub, ["--output", `two${ending}`]);
      expect(code, stderr).toBe(2);
      expect(stderr).toMatch(/is not a regular file\n/);
    }
    await space.write("three/data/test-00000-of-00001.parquet", "the user's own");
    const taken = await pull(space, hub, ["--output", "three"]);
    expect(taken.code).toBe(2);
    expect(taken.stderr).toMatch(/three\/data\/test-00000-of-00001\.parquet: there is another file with that name/);
    expect(await space.read("three/data/test-00000-of-00001.parquet")).toBe("the user's own");
    expect(hub.requests.filter(({ url }) => url.includes("resolve"))).toEqual([]);
    await space.write("four", "a file");
    expect(await pull(space, hub, ["--output", "four"])).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/the folder four cannot be made/),
    });
    expect(await filesIn(outside.path)).toEqual([]);
  });
});

describe.concurrent("the record", () => {
  test("of another pull in the folder stays, and a file that changed on the Hub is fetched again", async () => {
    await using space = await workspace();
    await using hub = await hubOf(own());
    await pulled(space, hub);
    const changed = parquetLike("changed");
    const files = { ...own().files, "data/test-00000-of-00001.parquet": changed };
    hub.datasets["owner/name"] = own({ commit: CONVERTED, files });
    hub.requests.length = 0;
    await pulled(space, hub, ["--split", "test"]);
    expect(sha256(await readFile(space.at("data/owner/name/data/test-00000-of-00001.parquet")))).toBe(sha256(changed));
    const record = await space.json<{ files: { split: string; commit: string }[] }>(`data/owner/name/${RECORD}`);
    expect(record.files.map(({ split, commit }) => [split, commit])).toEqual([
      ["test", CONVERTED],
      ["train", COMMIT],
      ["train", COMMIT],
    ]);
  });

  test("that is broken, or a link, gives a warning, and is replaced", async () => {
    await using space = await workspace();
    await using outside = await workspace();
    await using hub = await hubOf(single(TEST));
    for (const content of ["", "[]", '{"files":[{"path":1}]}', "\u0000"]) {
      await space.write(`out/${RECORD}`, content);
      const { stderr } = await pulled(space, hub, ["--output", "out"]);
      expect(stderr).toMatch(/Warning: out\/\.datagen-source\.json cannot be used: /);
      expect(await space.json(`out/${RECORD}`)).toMatchObject({ files: [{ path: "train.parquet" }] });
    }
    await mkdir(space.at("two"));
    await outside.write("target", '{"files":[]}');
    await symlink(outside.at("target"), space.at(`two/${RECORD}`));
    await symlink(outside.at("target"), space.at(`two/${RECORD}.part`));
    await pulled(space, hub, ["--output", "two"]);
    expect(await outside.read("target")).toBe('{"files":[]}');
  });
});

describe.concurrent("lists", () => {
  test("that are huge, deep or in another form end the pull", async () => {
    await using space = await workspace();
    const huge = JSON.stringify({ sha: COMMIT, siblings: [] }).padEnd(70 * 1024 * 1024);
    const CASES: [body: string, message: RegExp][] = [
      [huge, /an answer of more than 64 MB/],
      ["[".repeat(1_000_000), /is not JSON/],
      ["null", /in a form that is not known/],
      ['{"sha":"x"}', /in a form that is not known \(at sha: /],
      ['{"sha":"../..","siblings":[]}', /in a form that is not known \(at sha: /],
      [
        `{"sha":"${COMMIT}","siblings":[{"rfilename":"a.parquet","size":-1}]}`,
        /in a form that is not known \(at siblings\.0\.size: /,
      ],
      [`{"sha":"${COMMIT}","siblings":[{"rfilename":"a.parquet","size":1e15}]}`, /in a form that is not known/],
    ];
    for (const [body, message] of CASES) {
      await using hub = await hubOf(single(), { behave: () => ({ kind: "body", body }) });
      const { error } = await failing(hub, space, { patience: { waitsMs: [1] } });
      expect(error).toMatchObject({ exitCode: 3, message: expect.stringMatching(message) });
    }
  });

  test("of too many files are refused; hostile patterns of a card take no time", async () => {
    await using space = await workspace();
    const many = Object.fromEntries(Array.from({ length: 10_001 }, (_, i) => [`train-${i}.parquet`, ""]));
    await using hub = await hubOf(own({ files: many }));
    expect(await pull(space, hub)).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/has 10001 Parquet files; at most 10000/),
    });
    const name = `${"a".repeat(190)}.parquet`;
    const path = Array.from({ length: 200 }, () => `${"a*".repeat(90)}b`);
    hub.datasets["owner/name"] = own({
      files: { [name]: TEST },
      cardData: { configs: [{ config_name: "x", data_files: [{ split: "train", path: [...path, "**/a*.parquet"] }] }] },
    });
    await pulled(space, hub);
  });
});

describe("a file system", () => {
  test("that cannot hold a file of its size is named, with exit code 3, and the part stays", async () => {
    await using space = await workspace();
    await using hub = await hubOf(single());
    await space.write(
      "limited.mjs",
      `import { spawnSync } from "node:child_process";
       const script = "trap '' XFSZ; ulimit -f 1000; exec \\"$0\\" \\"$@\\"";
       const { status } = spawnSync("bash", ["-c", script, process.execPath, ...process.argv.slice(2)], { stdio: "inherit" });
       process.exit(status);`,
    );
    const args = [BIN, "data", "pull", "hf://owner/name"];
    const env = { HF_ENDPOINT: hub.url };
    const { code, stderr } = await datagen(args, { cwd: space.path, env, bin: space.at("limited.mjs") });
    expect(code, stderr).toBe(3);
    expect(stderr).toMatch(/Error: the file system of .*train\.parquet\.part cannot hold a file of this size\n/);
    hub.requests.length = 0;
    await pulled(space, hub);
    expect(hub.requests.at(-1)).toMatchObject({ status: 206 });
    expect(sha256(await readFile(space.at("data/owner/name/train.parquet")))).toBe(sha256(TRAIN));
  });
  const canMount = process.platform === "linux" && process.getuid?.() === 0;
  test.runIf(canMount)("that is full is named, with exit code 3, and the part stays", async ({ skip }) => {
    await using space = await workspace();
    await using hub = await hubOf(single());
    await mkdir(space.at("small"));
    const mount = ["-t", "tmpfs", "-o", "size=1m", "tmpfs", space.at("small")];
    if (spawnSync("mount", mount).status !== 0) skip();
    try {
      const { code, stderr } = await pull(space, hub, ["--output", "small"]);
      expect(code, stderr).toBe(3);
      expect(stderr).toMatch(/Error: the disk is full \(ENOSPC\)\nMake room on it/);
      spawnSync("mount", ["-o", "remount,size=9m", space.at("small")]);
      hub.requests.length = 0;
      await pulled(space, hub, ["--output", "small"]);
      expect(hub.requests.at(-1)).toMatchObject({ status: 206 });
      expect(sha256(await readFile(space.at("small/train.parquet")))).toBe(sha256(TRAIN));
    } finally {
      spawnSync("umount", [space.at("small")]);
    }
  });
});

describe("a proxy", () => {
  test("carries the requests to the Hub and to the server that has the files", async () => {
    await using space = await workspace();
    await using hub = await hubOf(single(), { hasFileServer: true });
    const hosts: string[] = [];
    const proxy = createServer((request, response) => {
      const url = new URL(request.url ?? "");
      hosts.push(url.host);
      const onward = requestOf(url, { headers: request.headers }, (answer) => {
        response.writeHead(answer.statusCode ?? 0, answer.headers);
        answer.pipe(response);
      });
      request.pipe(onward);
    });
    await once(proxy.listen(0, "127.0.0.1"), "listening");
    const url = `http://127.0.0.1:${(proxy.address() as AddressInfo).port}`;
    try {
      await pulled(space, hub, [], { env: { HTTP_PROXY: url, HTTPS_PROXY: url } });
      expect(new Set(hosts)).toEqual(new Set([new URL(hub.url).host, new URL(hub.filesUrl).host]));
      hosts.length = 0;
      await pulled(space, hub, ["--output", "direct"], {
        env: { HTTP_PROXY: url, HTTPS_PROXY: url, NO_PROXY: "127.0.0.0/8" },
      });
      expect(hosts).toEqual([]);
    } finally {
      proxy.closeAllConnections();
      proxy.close();
    }
  });
});

describe.concurrent("a run", () => {
  const entry = (content: string, more: object = {}) => ({
    path: "de/rows.json",
    size: content.length,
    sha256: sha256(Buffer.from(content)),
    dataset: "owner/name",
    revision: "main",
    commit: COMMIT,
    license: "mit",
    config: "de",
    split: "test",
    pulled_at: "2026-11-26T00:00:00.000Z",
    ...more,
  });
  const SOURCE = {
    dataset: "hf://owner/name",
    revision: "main",
    commit: COMMIT,
    config: "de",
    split: "test",
    license: "mit",
  };
  const CONTENT = JSON.stringify(rows(3));

  /** Runs inputs with a record beside them. */
  async function run(space: Workspace, record: unknown) {
    await space.write("pulled/de/rows.json", CONTENT);
    await space.write(`pulled/${RECORD}`, record);
    const config = configFor({
      data_config: { input_data_path: "pulled/de/rows.json", sample_size: 3 },
      api_provider: "offline",
    });
    await space.write("config.json", config);
    const result = await datagenInTurn(["run", "config.json", "--json", "--output", "out.json"], { cwd: space.path });
    expect(result.code, result.stderr).toBe(0);
    const shown = await datagenInTurn(["runs", "show", "latest", "--json"], { cwd: space.path });
    const { metadata } = await space.json<{ metadata: Record<string, unknown> }>("out.json");
    return { stderr: result.stderr, sources: (JSON.parse(shown.stdout) as { sources: unknown }).sources, metadata };
  }

  test("of pulled files keeps their dataset, commit and licence, shows them and exports them", async () => {
    await using space = await workspace();
    const { sources, metadata, stderr } = await run(space, {
      files: [entry(CONTENT, { path: "other.json" }), entry(CONTENT)],
    });
    expect(stderr).not.toContain("Warning");
    expect(sources).toEqual([SOURCE]);
    expect(metadata["sources"]).toEqual([SOURCE]);
    const { stdout } = await datagenInTurn(["runs", "show", "latest"], { cwd: space.path });
    expect(stdout).toMatch(new RegExp(`^source +hf://owner/name@${COMMIT}, config de, split test, licence mit$`, "m"));
    const imported = await datagenInTurn(["import", "out.json"], { cwd: space.path });
    expect(imported.code, imported.stderr).toBe(0);
    await datagenInTurn(["export", "latest", "--output", "again.json"], { cwd: space.path });
    expect(await space.json("again.json")).toMatchObject({ metadata: { sources: [SOURCE] } });
  });

  test("of a pulled Parquet file uses the columns that the pull proposes, and keeps its source", async () => {
    await using space = await workspace();
    const path = resolve(import.meta.dirname, "data/sources/parquet/datasets.parquet");
    const files = { "data/test-00000-of-00001.parquet": await readFile(path) };
    await using hub = await hubOf(own({ files }));
    const { stdout, stderr } = await pulled(space, hub, ["--json"]);
    const { data_config: data } = JSON.parse(stdout) as { data_config: object };
    expect(data).toMatchObject({ fields: { input: "translation.de", reference: "translation.en" } });
    expect(stderr).not.toContain("Warning");
    await space.write("config.json", {
      ...configFor({ api_provider: "offline" }),
      data_config: { ...data, sample_size: 2 },
    });
    const result = await datagenInTurn(["run", "config.json", "--output", "out.json"], { cwd: space.path });
    expect(result.code, result.stderr).toBe(0);
    const source = { ...SOURCE, config: "default", license: "cc-by-4.0" };
    expect(await space.json("out.json")).toMatchObject({ metadata: { sources: [source] } });
  });

  test.for<[name: string, record: unknown, hasWarning: boolean]>([
    ["a file that was changed after it was pulled", { files: [entry(`${CONTENT} `)] }, false],
    ["another file of the folder", { files: [entry(CONTENT, { path: "en/rows.json" })] }, false],
    ["a record that is none", "not JSON", true],
    ["a record of another form", { files: [entry(CONTENT, { commit: 7 })] }, true],
    ["a record that is too large", " ".repeat(17 * 1024 * 1024), true],
  ])("of %s knows no source", async ([, record, hasWarning]) => {
    await using space = await workspace();
    const { sources, metadata, stderr } = await run(space, record);
    expect(sources).toBeNull();
    expect(metadata).not.toHaveProperty("sources");
    expect(/Warning: .*\.datagen-source\.json cannot be used/.test(stderr)).toBe(hasWarning);
  });

  test.for(["run", "estimate", "preview"])(
    "is not started by %s with a dataset of the Hub, which must be pulled first",
    async (command) => {
      await using space = await workspace();
      await using hub = await startHub({ datasets: {} });
      const paths = ["hf://owner/name@v1", "hf://datasets/owner/name/data/train.parquet", "hf://squad"];
      await space.write("config.json", {
        ...configFor({ api_provider: "offline" }),
        data_config: { input_data_path: paths },
      });
      const { code, stderr } = await datagenInTurn([command, "config.json"], {
        cwd: space.path,
        env: { HF_ENDPOINT: hub.url },
      });
      expect(code).toBe(2);
      for (const [at, [name, folder]] of [
        ["owner/name@v1", "owner/name"],
        ["owner/name", "owner/name"],
        ["squad", "squad"],
      ].entries()) {
        expect(stderr).toContain(
          `data_config.input_data_path[${at}]: expected the path of a file: pull the dataset with \`datagen data pull hf://${name}\`, ` +
            `and write the input_data_path that it prints, which is in data/${folder}/`,
        );
      }
      expect(hub.requests).toEqual([]);
      expect(existsSync(space.at("data"))).toBe(false);
    },
  );
});
