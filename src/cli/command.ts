import { Command, Option } from "clipanion";
import { type Environment, readEnvironment } from "../app/environment.ts";
import { DEFAULT_DATABASE } from "../app/paths.ts";
import type { RunSummary } from "../app/summary.ts";
import type { Store } from "../store/open.ts";
import { renderError } from "./render/error.ts";
import { counted } from "./render/text.ts";

/** How a command's RUN is read. */
export const RUN_DESCRIPTION = "`RUN` is the id of a run, a prefix of it that no other run has, or `latest`.";

/** What all commands have: the database, `--json`, and errors that go to stderr with their exit code. */
export abstract class DatagenCommand extends Command {
  db = Option.String("--db", { description: "The database. Default: DATAGEN_DB, else data/datagen.db" });
  json = Option.Boolean("--json", false, { description: "Print one JSON value on stdout" });

  override async validateAndExecute(): Promise<number> {
    try {
      return await super.validateAndExecute();
    } catch (error) {
      const { text, exitCode } = renderError(error);
      this.warn(text);
      return exitCode;
    }
  }

  protected async openStore(environment: Environment = readEnvironment()): Promise<Store> {
    const { openStore } = await import("../store/open.ts");
    return openStore(this.db ?? (environment["DATAGEN_DB"] || DEFAULT_DATABASE));
  }

  /** The width of the terminal; what goes into a pipe or a file is not cut. */
  protected get width(): number {
    const { columns } = this.context.stdout as NodeJS.WriteStream;
    return columns ?? (Number(process.env["COLUMNS"]) || Number.POSITIVE_INFINITY);
  }

  protected print(text: string): void {
    this.context.stdout.write(`${text}\n`);
  }

  protected printJson(value: unknown): void {
    this.print(JSON.stringify(value, null, 2));
  }

  protected warn(text: string): void {
    this.context.stderr.write(`${text}\n`);
  }

  /** A command as it can be typed here, with the database that this one was given. */
  protected commandLine(words: string): string {
    return `datagen ${words}${this.db === undefined ? "" : ` --db ${quoted(this.db)}`}`;
  }

  /** Says what a dataset does not hold. */
  protected warnOfGaps({ id, calls, shard }: RunSummary): void {
    if (shard) {
      this.warn(
        `Warning: the dataset has a part of the inputs: ${counted(shard.indices.length, "shard")} (${shard.indices.join(", ")}) of ${shard.count}.`,
      );
    }
    if (calls.failed > 0) {
      this.warn(
        `Warning: ${counted(calls.failed, "call")} failed; their responses are null in the dataset. ` +
          `\`${this.commandLine(`runs show ${id}`)}\` says why, ` +
          `\`${this.commandLine(`resume ${id} --retry-failed`)}\` tries them again.`,
      );
    }
    if (calls.pending > 0) {
      this.warn(
        `Warning: ${counted(calls.pending, "call")} ${calls.pending === 1 ? "is" : "are"} pending; their responses are null in the dataset.`,
      );
    }
  }
}

/** A word for a POSIX shell, as it is where nothing in it is special. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}
