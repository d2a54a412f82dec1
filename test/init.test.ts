import { mkdir, readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { parse } from "jsonc-parser";
import { describe, expect, test } from "vitest";
import { workspace } from "./support/harness.ts";
import { datagenInTurn } from "./support/in-turn.ts";

const ROOT = resolve(import.meta.dirname, "..");

describe.concurrent("datagen init", () => {
  test.for([
    ["datagen", []],
    ["my_study", ["my_study"]],
    ["Übung-2", ["Übung-2"]],
  ] as const)("writes three files of %s, which run at once without a model", async ([name, args]) => {
    await using space = await workspace();
    const { code, stdout, stderr } = await datagenInTurn(["init", ...args], { cwd: space.path });
    expect(code, stderr).toBe(0);
    expect(stdout).toBe(`${name}.json\n${name}.inputs.jsonl\ndatagen.schema.json\n`);
    const [, next = ""] = /: datagen (run .+)\n$/.exec(stderr) ?? [];
    const run = await datagenInTurn(next.replaceAll("'", "").split(" "), { cwd: space.path });
    expect(run.code, run.stderr).toBe(0);
    expect(run.stderr).not.toContain("Warning");
    const { tasks } = await space.json<{ tasks: { responses: string[] }[] }>(run.stdout.trim());
    expect(tasks.map(({ responses }) => responses.length)).toEqual([3, 3, 3]);
  });

  test("writes comments, and the schema that the config names", async () => {
    await using space = await workspace();
    await datagenInTurn(["init"], { cwd: space.path });
    const text = await space.read("datagen.json");
    expect(text.match(/^ *\/\/ /gm)!.length).toBeGreaterThan(5);
    const { $schema } = parse(text, [], { allowTrailingComma: true }) as { $schema: string };
    expect(await space.read($schema)).toBe(await readFile(join(ROOT, "configs/schema.json"), "utf8"));
  });

  test.for(["datagen.json", "datagen.inputs.jsonl", "datagen.schema.json"])(
    "writes nothing where %s exists, and exits with 2",
    async (name) => {
      await using space = await workspace();
      await space.write(name, "mine");
      const { code, stdout, stderr } = await datagenInTurn(["init"], { cwd: space.path });
      expect({ code, stdout }).toEqual({ code: 2, stdout: "" });
      expect(stderr).toMatch(new RegExp(`^Error: ${name} exists already; nothing was written\n`));
      expect(await readdir(space.path)).toEqual([name]);
      expect(await space.read(name)).toBe("mine");
    },
  );

  test("names all files that exist, and leaves them as they are", async () => {
    await using space = await workspace();
    await datagenInTurn(["init"], { cwd: space.path });
    const before = await space.read("datagen.json");
    const { code, stderr } = await datagenInTurn(["init"], { cwd: space.path });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^Error: datagen\.json and datagen\.inputs\.jsonl exist already; nothing was written\n/);
    expect(await space.read("datagen.json")).toBe(before);
  });

  test("shares the schema between the experiments of a folder", async () => {
    await using space = await workspace();
    await datagenInTurn(["init"], { cwd: space.path });
    expect(await datagenInTurn(["init", "second"], { cwd: space.path })).toMatchObject({ code: 0 });
  });

  test("takes a folder of that name for a file that exists", async () => {
    await using space = await workspace();
    await mkdir(space.at("datagen.inputs.jsonl"));
    const { code, stderr } = await datagenInTurn(["init"], { cwd: space.path });
    expect(code).toBe(2);
    expect(stderr).toContain("datagen.inputs.jsonl exists already");
  });

  test("leaves no file where one of them cannot be written, and says why", async () => {
    await using space = await workspace();
    // Each letter has 4 bytes. A file system takes names of up to 255 bytes, so the second file cannot be written.
    const { code, stderr } = await datagenInTurn(["init", "𠮷".repeat(61)], { cwd: space.path });
    expect(code).toBe(2);
    expect(stderr).toMatch(/^Error: 𠮷+\.inputs\.jsonl cannot be written \(ENAMETOOLONG\)\n/u);
    expect(await readdir(space.path)).toEqual([]);
  });

  test("with --json prints the paths as one JSON value", async () => {
    await using space = await workspace();
    const { stdout } = await datagenInTurn(["init", "a", "--json"], { cwd: space.path });
    expect(JSON.parse(stdout)).toEqual({ config: "a.json", inputs: "a.inputs.jsonl", schema: "datagen.schema.json" });
  });
});
