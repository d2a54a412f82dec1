import { once } from "node:events";
import { Command, Option } from "clipanion";
import { readVariables, valueOf } from "../app/server/environment.ts";
import { DEFAULT_DATABASE } from "../app/paths.ts";
import type { OnEvent } from "../app/events.ts";
import type { CommonestFailure } from "../app/runs/commonest-failure.ts";
import type { RunSummary } from "../app/runs/summary.ts";
import { InterruptedError } from "../errors.ts";
import type { Store } from "../store/file/store.ts";
import { renderError } from "./render/error.ts";
import { counted, oneLine, printable, printableJson } from "./render/text.ts";
import { widthOfStream } from "./render/width.ts";

/** What RUN means, in the help of every command that takes one. */
export const RUN_DESCRIPTION = "`RUN` is the id of a run, a prefix of it that no other run has, or `latest`.";

/** The same for commands that also take an experiment. */
export const RUNS_DESCRIPTION =
  "`RUN` is the id of a run, a prefix of it that no other run has, `latest`, or the name of an experiment: all its runs.";

/** What all commands share: `--json`, and errors that go to stderr with their exit code. */
export abstract class PlainCommand extends Command {
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

  // All output of a command goes through these: it may hold texts of databases, files and servers, with control characters.
  protected print(text: string): void {
    this.context.stdout.write(`${printable(text)}\n`);
  }

  /** Prints lines as they come, and waits while the reader is slower. */
  protected async printLines(lines: Iterable<string>): Promise<void> {
    const { stdout } = this.context;
    for (const line of lines) if (!stdout.write(`${line}\n`)) await once(stdout, "drain");
  }

  protected printJson(value: unknown): void {
    this.context.stdout.write(`${printableJson(JSON.stringify(value, null, 2))}\n`);
  }

  /** The width of what is printed. */
  protected get width(): number {
    return widthOfStream(this.context.stdout as NodeJS.WriteStream);
  }

  protected warn(text: string): void {
    this.context.stderr.write(`${printable(text)}\n`);
  }

  /** Prints a warning. It stays on one line, because it may have texts of files and servers. */
  protected readonly onWarning = (message: string): void => this.warn(`Warning: ${oneLine(message)}`);

  /** Prints the warnings among the events of a use case. */
  protected readonly onEvent: OnEvent = (event) => {
    if (event.type === "warning") this.onWarning(event.message);
  };
}

/** A command that uses the database. */
export abstract class DatagenCommand extends PlainCommand {
  db = Option.String("--db", { description: "The database. Default: DATAGEN_DB, else data/datagen.db" });

  /** Opens the database to write to it. @param missing whether to create a database where there is none; see `openStore` */
  protected async openStore(missing: "create" | "refuse" | "pretend" = "create"): Promise<Store> {
    const { openStore } = await import("../store/file/open.ts");
    return openStore(this.databasePath(), missing);
  }

  /** Opens the database to read it. */
  protected async openToRead(): Promise<Store> {
    const { noDatabase, openToRead } = await import("../store/file/open.ts");
    const path = this.databasePath();
    const store = openToRead(path);
    if (store === null) throw noDatabase(path);
    return store;
  }

  /** Opens the database to read it. Where there is none, warns and returns an empty one. */
  protected async openIfThere(): Promise<Store> {
    return await this.openOrEmpty((path) => this.warn(`There is no database ${path} yet.`));
  }

  /** Opens the database to read it. Where there is none, returns an empty one. */
  protected async openQuietly(): Promise<Store> {
    return await this.openOrEmpty(() => {});
  }

  private async openOrEmpty(onMissing: (path: string) => void): Promise<Store> {
    const { emptyStore, openToRead } = await import("../store/file/open.ts");
    const path = this.databasePath();
    const store = openToRead(path);
    if (store !== null) return store;
    onMissing(path);
    return emptyStore(path);
  }

  /** Waits until it is known whether the processes live that hold runs. @param run the only run that matters */
  protected async awaitHolders(store: Store, run?: string): Promise<void> {
    const [{ awaitHolders }, { findRuns }] = await Promise.all([
      import("../app/run/await-holders.ts"),
      import("../store/runs/experiments.ts"),
    ]);
    await awaitHolders(store, {
      runIds: run === undefined ? undefined : findRuns(store, run).runIds,
      onEvent: this.onEvent,
    });
  }

  private databasePath(): string {
    return this.db ?? valueOf(readVariables(), "DATAGEN_DB") ?? DEFAULT_DATABASE;
  }

  /** Asks a question; true after `y` or `yes`. Undefined without a terminal, where nobody can be asked. */
  protected get ask(): ((question: string) => Promise<boolean>) | undefined {
    return process.stdin.isTTY && process.stderr.isTTY ? askOnTerminal : undefined;
  }

  /** A command to type next, with the `--db` of this one. */
  protected commandLine(words: string): string {
    return `datagen ${words}${this.db === undefined ? "" : ` --db ${quoted(this.db)}`}`;
  }

  /**
   * Warns of what a dataset lacks.
   * @param hasNulls whether the dataset has null for a missing response
   * @param why the commonest reason of failures, if it is known
   */
  protected warnOfGaps({ id, calls, shard }: RunSummary, hasNulls = true, why: CommonestFailure | null = null): void {
    if (shard) {
      this.warn(
        `Warning: the dataset has only a part of the inputs: ${counted(shard.indices.length, "shard")} (${shard.indices.join(", ")}) of ${shard.count}.`,
      );
    }
    if (!hasNulls) return;
    if (calls.failed > 0) {
      const mostly = why === null ? "" : why.calls < calls.failed ? `, mostly for ${named(why)}` : ` for ${named(why)}`;
      this.warn(
        `Warning: ${counted(calls.failed, "call")} failed${mostly}; the dataset has null in place of ${calls.failed === 1 ? "its text" : "their texts"}. ` +
          `\`${this.commandLine(`runs show ${id}`)}\` says why, ` +
          `\`${this.commandLine(`resume ${id} --retry-failed`)}\` tries them again.`,
      );
    }
    if (calls.pending > 0) {
      this.warn(
        `Warning: ${counted(calls.pending, "call")} ${calls.pending === 1 ? "is" : "are"} pending; the dataset has null in place of ${calls.pending === 1 ? "its text" : "their texts"}.`,
      );
    }
  }
}

async function askOnTerminal(question: string): Promise<boolean> {
  const { createInterface } = await import("node:readline/promises");
  const lines = createInterface({ input: process.stdin, output: process.stderr });
  try {
    // Where the input ends without an answer, the answer is no.
    const ended = once(lines, "close").then(() => "");
    const interrupted = once(lines, "SIGINT").then(() => {
      throw new InterruptedError("the question was interrupted; nothing was done");
    });
    const answer = lines.question(`${printable(question)} [y/N] `);
    return /^y(es)?$/i.test((await Promise.race([answer, ended, interrupted])).trim());
  } finally {
    lines.close();
  }
}

/** A word for a POSIX shell: in quotes where it has special characters. */
export function quoted(word: string): string {
  return /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;
}

function named({ reason, example }: CommonestFailure): string {
  return example === null ? reason : `${reason} (${oneLine(example)})`;
}
