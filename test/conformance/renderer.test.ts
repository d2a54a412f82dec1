import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { FORMATS } from "../../src/export/formats.ts";
import { renderers } from "../../src/export/index.ts";
import { openStore } from "../../src/store/file/open.ts";
import { datasetRows } from "../../src/store/runs/dataset-rows.ts";
import { findRun, getRun } from "../../src/store/runs/runs.ts";
import {
  bytesOf,
  type ConfigOverrides,
  datagen,
  expectedDataset,
  promptOf,
  type Result,
  rows,
} from "../support/harness.ts";
import { DATABASE, openLab, PLAIN } from "../support/lab.ts";
import { type Cell, readers } from "../support/readers.ts";
import { answerTo, type ServerOptions } from "../support/server.ts";

/** A lab whose run has answered what its server answers. */
async function ran(config: ConfigOverrides, data = rows(3), server: ServerOptions = {}) {
  const lab = await openLab({ config, data, server });
  await lab.datagen("run", "config.json", "--no-export");
  return lab;
}

type Lab = Awaited<ReturnType<typeof ran>>;

/** What a dataset must hold, cell by cell. */
function cellsOf(lab: Lab, answer = answerTo as (asked: Parameters<typeof answerTo>[0]) => string | null): Cell[] {
  return expectedDataset(lab.config, lab.data, answer).tasks.flatMap(({ context, responses, preparations }) =>
    responses.map((response, at) => ({ context, preparation: preparations[at] ?? null, response })),
  );
}

describe.concurrent.each(FORMATS)("the format %s", (format) => {
  const reader = () => {
    expect(readers[format], `${format} is missing in test/support/readers.ts`).toBeDefined();
    return readers[format];
  };
  /** What is in the dataset that a command wrote to stdout. */
  const readFrom = async (result: Result) => await reader()(bytesOf(result));
  const toStdout = (lab: Lab, ...flags: string[]) =>
    lab.datagen("export", "latest", "--format", format, "--output", "-", ...flags);
  const warningsIn = (stderr: string) => stderr.split("\n").filter((line) => line.startsWith("Warning: "));

  test("has every answer in its place, with notes and references", async () => {
    const data = [...rows(3), { input: 'Sie rief: "Halt, hier!"\r\nUnd schwieg.\n' }, { input: "Ohne \r allein" }];
    await using lab = await ran({ add_references: true }, data);
    const result = await toStdout(lab);
    expect([result.code, result.stderr]).toEqual([0, ""]);
    expect(await readFrom(result)).toEqual(cellsOf(lab));
  });

  test("is the same bytes each time, in any time zone, in a file and on stdout", async () => {
    await using lab = await ran({});
    const first = await toStdout(lab);
    const file = await lab.datagen("export", "latest", "--format", format);
    expect(file.stdout).toMatch(new RegExp(`^data/agents/\\S+\\.${renderers[format].extension}\n$`));
    const whole = bytesOf(first);
    expect(whole.length).toBeGreaterThan(0);
    expect(await readFile(lab.space.at(file.stdout.trimEnd()))).toEqual(whole);
    const env = { TZ: "Asia/Tokyo", LC_ALL: "de_DE.UTF-8" };
    const elsewhere = await datagen(["export", "latest", "--output", `set.${format}`], { cwd: lab.space.path, env });
    expect(elsewhere).toMatchObject({ code: 0, stdout: `set.${format}\n`, stderr: "" });
    expect(await readFile(lab.space.at(`set.${format}`))).toEqual(whole);
  });

  test("has no text where a call failed or is pending", async () => {
    const data = rows(3);
    const [refused, stopped] = data.slice(1).map(({ input }) => promptOf(PLAIN.strategy, input));
    const server: ServerOptions = {
      behave({ prompt }) {
        if (prompt === refused) return { kind: "status", status: 400 };
        return prompt === stopped ? { kind: "status", status: 401 } : undefined;
      },
    };
    await using lab = await ran({ agent_perspectives: [PLAIN], concurrency: 1 }, data, server);
    expect(await toStdout(lab)).toMatchObject({ code: 2, stdout: "" });
    const result = await toStdout(lab, "--allow-partial");
    expect(result.code).toBe(0);
    expect(result.stderr).toMatch(/Warning: 1 call failed/);
    const lacks = (prompt: string) => prompt === refused || prompt === stopped;
    expect(await readFrom(result)).toEqual(cellsOf(lab, (asked) => (lacks(asked.prompt) ? null : answerTo(asked))));
  });

  test("names cells with half of a surrogate pair, or writes U+FFFD for them", async () => {
    const data = Array.from({ length: 7 }, (_, at) => ({ input: `${at} \ud83d ends` }));
    await using lab = await ran({ agent_perspectives: [PLAIN] }, data);
    const { isJson } = renderers[format];
    const plain = await toStdout(lab);
    expect(warningsIn(plain.stderr)).toEqual([
      expect.stringMatching(/^Warning: \d+ cells hold a lone surrogate \(half of a character in UTF-16\), /),
    ]);
    expect(plain.stderr).toMatch(/: the context of task 0; .*; and \d+ more$/m);
    expect(plain.stderr).toMatch(isJson ? /--replace-surrogates writes U\+FFFD/ : /written as U\+FFFD, because UTF-8/);
    const replaced = await toStdout(lab, "--replace-surrogates");
    expect((await readFrom(replaced))[0]?.context).toBe("0 \ufffd ends");
    expect(replaced.stdout).not.toMatch(/\\ud83d/);
    if (isJson) expect(replaced.stdout).toBe(plain.stdout.replaceAll(String.raw`\ud83d`, "\ufffd"));
    else expect(bytesOf(replaced)).toEqual(bytesOf(plain));
    expect(warningsIn(replaced.stderr)).toEqual([
      expect.stringContaining("written as U+FFFD: the context of task 0; "),
    ]);
    // A file of a run says so, too.
    const file = await lab.datagen("export", "latest", "--format", format);
    expect(warningsIn(file.stderr)).toEqual(warningsIn(plain.stderr));
  });

  test("comes piece by piece: a whole run is never in memory", async () => {
    await using lab = await ran({ agent_perspectives: [PLAIN] }, rows(50));
    using store = openStore(lab.space.at(DATABASE));
    const row = getRun(store, findRun(store, "latest"));
    const long = "x".repeat(5_000_000);
    let taken = 0;
    function* tasks() {
      for (const task of datasetRows(store, row.id)) {
        taken += 1;
        // Parquet writes rows in groups, which texts of this length fill.
        yield { ...task, input: long };
      }
    }
    const described = { otherSettings: [], costUsd: null, part: null, usesReference: false };
    const run = { ...row, ...described, hasNumericIds: false, scores: [] };
    const render = await renderers[format].load();
    for (const _ of render([{ run, tasks: tasks() }], { csvSafe: false, scores: [] })) if (taken > 5) break;
    expect(taken).toBe(6);
  });
});
