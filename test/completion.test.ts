import { spawnSync } from "node:child_process";
import { readdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { PROVIDERS } from "../src/config/providers.ts";
import { datagen } from "./support/harness.ts";

const ROOT = resolve(import.meta.dirname, "..");
const SHELLS = ["bash", "zsh", "fish"];

const scripts = new Map<string, string>();

beforeAll(async () => {
  for (const shell of SHELLS) {
    const { code, stdout, stderr } = await datagen(["completion", shell], { cwd: ROOT });
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    scripts.set(shell, stdout);
  }
});

/** What bash offers for the last of these words. */
function offered(...words: string[]): string[] {
  const ask = `${scripts.get("bash")}
    COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _datagen
    printf '%s\\n' "\${COMPREPLY[@]}"`;
  const { stdout, stderr } = spawnSync("bash", ["-c", ask, "bash", ...words], { encoding: "utf8" });
  expect(stderr).toBe("");
  return stdout.split("\n").filter(Boolean);
}

describe("datagen completion", () => {
  test.for<[words: string[], expected: string[]]>([
    [["datagen", "re"], ["resume"]],
    [["datagen", "runs", "l"], ["list"]],
    [
      ["datagen", "help", "prices", ""],
      ["list", "set", "unset"],
    ],
    [["datagen", "run", "--te"], ["--test"]],
    [["datagen", "runs", "show", "latest", "--fa"], ["--failures"]],
    [["datagen", "runs", "show", ""], ["latest"]],
    [["datagen", "completion", ""], SHELLS],
    [["datagen", "run", "a.json", "--provider", ""], [...PROVIDERS]],
    [["datagen", "run", "a.json", "--provider", "=", "off"], ["offline"]],
    [
      ["datagen", "export", "latest", "--format", "j"],
      ["json", "jsonl"],
    ],
    // Bash then offers the names of files.
    [["datagen", "run", ""], []],
    [["datagen", "run", "a.json", "--db", ""], []],
  ])("makes bash complete %j", ([words, expected]) => {
    expect(offered(...words)).toEqual(expect.arrayContaining(expected));
    if (expected.length === 0) expect(offered(...words)).toEqual([]);
  });

  test("offers every command", async () => {
    const files = await readdir(join(ROOT, "src/cli/commands"), { recursive: true });
    const commands = files.filter((file) => file.endsWith(".ts")).map((file) => file.replace(/\.ts$/, "").split("/"));
    for (const words of commands) {
      expect(offered("datagen", ...words.slice(0, -1), "")).toContain(words.at(-1));
    }
  });

  test.for(SHELLS)("knows every flag of every command in %s", async (shell) => {
    const script = scripts.get(shell)!;
    const { stdout: overview } = await datagen(["--help"], { cwd: ROOT });
    const commands = [...overview.matchAll(/^ {2}datagen ([a-z]+(?: [a-z]+)?) {2}/gm)].map(([, name = ""]) => name);
    expect(commands.length).toBeGreaterThan(15);
    for (const command of commands) {
      const { stdout } = await datagen(["help", ...command.split(" ")], { cwd: ROOT });
      const flags = [...stdout.matchAll(/^ {2}(?:-\w, )?(--[a-z-]+)/gm)].map(([, flag = ""]) => flag);
      const own = script
        .split("\n")
        .filter((line) => line.includes(`"${command} "`) || line.includes(`begins ${command}'`));
      for (const flag of flags) expect(own.join("\n")).toContain(shell === "fish" ? `-l ${flag.slice(2)}` : flag);
    }
  });
});
