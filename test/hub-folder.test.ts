import { existsSync, statSync } from "node:fs";
import { mkdir, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { exportFolder, openStore } from "../src/index.ts";
import { placedByCard } from "../src/hub/card.ts";
import { rows } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";
import { DATABASE, openLab, PLAIN } from "./support/lab.ts";
import { parquetRows } from "./support/readers.ts";

/** Breaks out of what it stands in, wherever that is possible. */
const WILD = "```\n# Done\n---\n</div>| a \u0007\u202e`````` \ud83d";
const FIRST = "train-00000-of-00001.parquet";

async function ran(dataConfig = {}) {
  const wild = { condition: "Wild: <b>|# `x`\n*y*", reading: WILD, strategy: `Lie. ${WILD}` };
  const lab = await openLab({
    config: {
      agent_perspectives: [PLAIN, wild],
      system_prompt: "You are ``` careful.",
      api_provider: "offline",
      data_config: dataConfig,
    },
    data: rows(3),
  });
  await lab.datagen("run", "config.json", "--no-export", "--name", "a\nname: [x]");
  return lab;
}

/** The bytes of all files of a folder, by their paths. */
async function filesOf(folder: string): Promise<Record<string, string>> {
  const names = (await readdir(folder, { recursive: true, withFileTypes: true })).filter((entry) => entry.isFile());
  const read = names.map(async ({ parentPath, name }) => {
    const path = join(parentPath, name);
    return [path.slice(folder.length + 1), (await readFile(path)).toString("latin1")] as const;
  });
  return Object.fromEntries((await Promise.all(read)).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

describe("export --format hf", () => {
  test("writes Parquet files and a card, the same each time", async () => {
    await using lab = await ran({ source: "Our *own* <i>corpus</i>", license: "CC-BY-4.0" });
    const { code, stdout, stderr } = await lab.datagen("export", "latest", "--format", "hf", "--output", "new/set/");
    expect([code, stdout]).toEqual([0, "new/set\n"]);
    expect(stderr).toMatch(/^Warning: 4 cells hold a lone surrogate .*: the config or the metadata; /);
    const set = lab.space.at("new/set");
    const files = await filesOf(set);
    expect(Object.keys(files)).toEqual(["README.md", `data/${FIRST}`]);
    expect(await readdir(lab.space.at("new"))).toEqual(["set"]);
    expect(statSync(set).mode & 0o777).toBe(statSync(lab.space.at("new")).mode & 0o777);
    const single = await lab.datagen("export", "latest", "--output", "one.parquet");
    expect(single.code).toBe(0);
    expect(files[`data/${FIRST}`]).toBe((await readFile(lab.space.at("one.parquet"))).toString("latin1"));
    expect((await lab.datagen("export", "latest", "--format", "hf", "--output", set)).code).toBe(0);
    expect(await filesOf(set)).toEqual(files);

    const card = await readFile(join(set, "README.md"), "utf8");
    const [, header = "", ...page] = card.split(/^---$/m);
    const body = page.join("---");
    expect(header).toContain('pretty_name: "a\\nname: [x]"\nlicense:\n- cc-by-4.0\n');
    expect(header).toContain("size_categories:\n- n<1K\n");
    expect(header).toContain(
      "- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*.parquet\n",
    );
    expect(header).toContain('  - name: "task"\n    dtype: int64\n');
    expect(header).toContain('  - name: "cost_usd"\n    dtype: float64\n');
    expect(header).toMatch(/num_bytes: \d+\n +num_examples: 6\n +download_size: \d+\n/);
    expect(header).toContain(`download_size: ${statSync(join(set, "data", FIRST)).size}\n`);
    const config = { config_name: "default", data_files: [{ split: "train", path: ["data/train-*.parquet"] }] };
    expect(placedByCard([config], [{ path: `data/${FIRST}` }])).toHaveLength(1);

    expect(body).toContain("many of them were made to mislead");
    expect(body).toContain("# a name: \\[x\\]\n");
    expect(body).toContain(String.raw`### Wild: \<b\>\|\# \`x\` \*y\*`);
    expect(body).toContain(String.raw`- Our \*own\* \<i\>corpus\</i\>: licence CC-BY-4.0`);
    expect(body).toContain("| `response` | string | What the model answered;");
    expect(body).toMatch(/\| \w+ \(a name: \\\[x\\\]\) \| gpt-4o-mini \| offline \| 3 \| 2 \| 1 \| 9 \| 0 \| 0 \|/);
    // Whatever a prompt holds, its block ends only at its own fence.
    const fence = "```````";
    const shown = "```\n# Done\n---\n</div>| a \ufffd\u202e`````` \ufffd";
    expect(body).toContain(`${fence}text\n${shown}\n${fence}\n`);
    expect(body).toContain(`${fence}text\nLie. ${shown}\n${fence}\n`);
    expect(body).toContain("````text\nYou are ``` careful.\n````\n");
    // oxlint-disable-next-line no-control-regex -- these are what the card must not have
    expect(card).not.toMatch(/[\u0000-\u0009\u000b-\u001f\u007f]/);
  });

  test("states the licence of the dataset that the inputs were pulled from, and names that the Hub does not have as other", async () => {
    await using lab = await ran({ license: "My Own Licence 2" });
    await lab.datagen("export", "latest", "--format", "hf", "--output", "set");
    expect(await lab.space.read("set/README.md")).toContain("license: other\nlicense_name: my-own-licence-2\n");
    using store = openStore(lab.space.at(DATABASE));
    const source = {
      dataset: "hf://a/b",
      revision: "main",
      commit: "c0ffee",
      config: "default",
      split: "test",
      license: "mit",
    };
    store.sqlite
      .prepare("update runs set sources = ?, config = json_remove(config, '$.data_config.license')")
      .run(JSON.stringify([source]));
    await exportFolder(store, "latest", { output: lab.space.at("set") });
    const card = await lab.space.read("set/README.md");
    expect(card).toContain("\nlicense:\n- mit\n");
    expect(card).toContain("- hf\\://a/b, commit c0ffee, config default, split test: licence mit\n");
  });

  test("begins another file once one is large, and has the rows of several runs", async () => {
    await using lab = await openLab({
      config: { agent_perspectives: [PLAIN], api_provider: "offline" },
      data: [{ input: "x".repeat(3_000_000) }, { input: "y".repeat(3_000_000) }, ...rows(1)],
    });
    await lab.datagen("run", "config.json", "--model", "a-1", "--model", "b-2", "--name", "two", "--no-export");
    using store = openStore(lab.space.at(DATABASE));
    const ids = store.sqlite.prepare<[], string>("select public_id from runs order by id").pluck().all();
    await exportFolder(store, ids, { output: lab.space.at("set"), mostBytes: 100 });
    const names = (await readdir(lab.space.at("set/data"))).toSorted();
    expect(names).toEqual(names.map((_, at) => `train-0000${at}-of-0000${names.length}.parquet`));
    expect(names.length).toBeGreaterThan(1);
    const read = await Promise.all(
      names.map(async (name) => await parquetRows(await readFile(lab.space.at(`set/data/${name}`)))),
    );
    expect(read.flat().map(({ model, task }) => [model, Number(task)])).toEqual(
      ["a-1", "b-2"].flatMap((model) => [0, 1, 2].map((task) => [model, task])),
    );
    // A folder of an experiment is one dataset.
    const whole = await lab.datagen("export", "two", "--format", "hf", "--output", "set");
    expect(whole).toMatchObject({ code: 0, stdout: "set\n" });
    expect(await readdir(lab.space.at("set/data"))).toEqual([FIRST]);
  });

  test("never replaces what is not such a dataset, or was changed, and leaves nothing where it fails", async () => {
    await using lab = await ran();
    const refused = async (output: string, says: string) => {
      const { code, stdout, stderr } = await lab.datagen("export", "latest", "--format", "hf", "--output", output);
      expect([code, stdout]).toEqual([2, ""]);
      expect(stderr).toContain(says);
    };
    const write = async () => {
      await rm(lab.space.at("set"), { recursive: true, force: true });
      expect((await lab.datagen("export", "latest", "--format", "hf", "--output", "set")).code).toBe(0);
    };
    await mkdir(lab.space.at("empty"));
    expect((await lab.datagen("export", "latest", "--format", "hf", "--output", "empty")).code).toBe(0);
    await refused("data", 'has other files: "datagen.db"');
    await refused("rows.json", "which is not a folder");
    await refused("-", "cannot go to stdout");
    for (const folder of ["empty", "empty/data"]) {
      const args = ["export", "latest", "--format", "hf", "--output", lab.space.at("empty")];
      const inside = await datagenInTurn([...args, "--db", lab.space.at(DATABASE)], { cwd: lab.space.at(folder) });
      expect([inside.code, inside.stderr]).toEqual([2, expect.stringContaining("which is the current folder")]);
    }
    await mkdir(lab.space.at("mine"));
    await writeFile(lab.space.at("mine/README.md"), "# Mine\n");
    await refused("mine", "has a README.md that is not of datagen");
    await write();
    await writeFile(lab.space.at("set/README.md"), `${await lab.space.read("set/README.md")}More.\n`);
    await refused("set", "has a README.md that was edited");
    await write();
    await writeFile(lab.space.at("set/data/extra.parquet"), "PAR1");
    await refused("set", 'has other files: "data/extra.parquet"');
    await write();
    await writeFile(lab.space.at(`set/data/${FIRST}`), "PAR1 but not ours PAR1");
    await refused("set", `has other files: "data/${FIRST}"`);
    await write();
    await symlink("set", lab.space.at("link"));
    expect((await lab.datagen("export", "latest", "--format", "hf", "--output", "link")).code).toBe(0);
    for (const [flag, says] of [
      ["--ascii", "--ascii and --csv-safe are not for hf"],
      ["--csv-safe", "--ascii and --csv-safe are not for hf"],
    ] as const) {
      const { code, stderr } = await lab.datagen("export", "latest", "--format", "hf", "--output", "x", flag);
      expect([code, stderr]).toEqual([2, expect.stringContaining(says)]);
    }
    expect((await lab.datagen("export", "latest", "--format", "hf")).stderr).toContain("the format hf needs a folder");
    using store = openStore(lab.space.at(DATABASE));
    const stopped = exportFolder(store, "latest", { output: lab.space.at("gone"), signal: AbortSignal.abort() });
    await expect(stopped).rejects.toThrow("was stopped");
    // The warning of lone surrogates is the last thing before the statistics.
    const late = new AbortController();
    const onEvent = () => void setImmediate(() => late.abort());
    const stoppedLate = exportFolder(store, "latest", { output: lab.space.at("gone"), signal: late.signal, onEvent });
    await expect(stoppedLate).rejects.toThrow("was stopped");
    expect(existsSync(lab.space.at("gone"))).toBe(false);
    expect((await readdir(lab.space.path)).filter((name) => name.startsWith(".datagen"))).toEqual([]);
  });
});
