import { readFile, rm, writeFile } from "node:fs/promises";
import { configJsonSchema } from "../config/schema.ts";
import { errorCode, errorMessage, UsageError } from "../errors.ts";
import { exampleConfig, EXAMPLE_INPUTS } from "./example-experiment.ts";

/** The paths of the files of a new experiment. */
export interface NewExperiment {
  config: string;
  inputs: string;
  schema: string;
}

/**
 * Writes the files of a new experiment into the current folder: a config with comments, its inputs, and the schema with
 * which an editor checks the config. Several experiments in a folder share the schema.
 * @throws UsageError if a file is there already; then nothing is written
 */
export async function initExperiment(name: string): Promise<NewExperiment> {
  if (!/^[\p{L}\p{N}_][\p{L}\p{N}_-]{0,99}$/u.test(name)) {
    throw new UsageError(
      `${JSON.stringify(name)} cannot be the name of an experiment`,
      "A name has at most 100 letters, digits, - and _.",
    );
  }
  const files = {
    config: `${name}.json`,
    inputs: `${name}.inputs.jsonl`,
    schema: "datagen.schema.json",
  };
  const contents = [
    [files.config, exampleConfig(files.inputs)],
    [files.inputs, EXAMPLE_INPUTS.map((row) => `${JSON.stringify(row)}\n`).join("")],
    [files.schema, `${JSON.stringify(configJsonSchema(), null, 2)}\n`],
  ] as const;
  const found = await Promise.all(contents.map(async ([path, text]) => ({ path, text, there: await textOf(path) })));
  const taken = found.filter(({ path, text, there }) => there !== null && !(path === files.schema && there === text));
  if (taken.length > 0) {
    throw new UsageError(
      `${taken.map(({ path }) => path).join(" and ")} ${taken.length === 1 ? "exists" : "exist"} already; nothing was written`,
      "Give the experiment another name, as in `datagen init my_study`, or use another folder.",
    );
  }
  await writeAll(found.filter(({ there }) => there === null));
  return files;
}

/** The text of a file; null if there is none, and empty if there is something else. */
async function textOf(path: string): Promise<string | null> {
  return await readFile(path, "utf8").catch((error: unknown) =>
    /^(EISDIR|EACCES|EPERM)$/.test(errorCode(error) ?? "") ? "" : null,
  );
}

/** Writes new files, all or none. */
async function writeAll(files: readonly { path: string; text: string }[]): Promise<void> {
  const written: string[] = [];
  for (const { path, text } of files) {
    try {
      await writeFile(path, text, { flag: "wx" });
      written.push(path);
    } catch (error) {
      await Promise.all(written.map((each) => rm(each, { force: true })));
      throw new UsageError(
        `${path} cannot be written (${errorCode(error) ?? errorMessage(error)})`,
        "Check the permissions of its folder, the space on its disk, and the length of the name.",
        error,
      );
    }
  }
}
