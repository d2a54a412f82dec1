import { DatagenError, errorCode, EXIT } from "../../errors.ts";
import { printable } from "./text.ts";

/** The text of an error for stderr, and its exit code. */
export function renderError(error: unknown): { text: string; exitCode: number } {
  if (error instanceof DatagenError) {
    const lines = [`Error: ${error.message}`, ...(error.hint === undefined ? [] : [error.hint])];
    return { text: printable(lines.join("\n")), exitCode: error.exitCode };
  }
  const code = errorCode(error) ?? "";
  if (/^SQLITE_(CORRUPT|NOTADB)/.test(code)) {
    const text = `Error: the database is damaged (${code})\nSee \`datagen db check\`, and restore a copy of the file.`;
    return { text, exitCode: EXIT.usage };
  }
  if (code.startsWith("SQLITE_BUSY")) {
    const text = `Error: another process keeps the database locked (${code})\nTry again once it is done.`;
    return { text, exitCode: EXIT.usage };
  }
  if (/^(SQLITE_FULL|ENOSPC|EDQUOT)$/.test(code)) {
    return { text: `Error: the disk is full (${code})\nMake room on it, then try again.`, exitCode: EXIT.stopped };
  }
  if (/^(SQLITE_IOERR|EIO$)/.test(code)) {
    const text = `Error: the disk cannot be read or written (${code})\nThe system's log says what is wrong with it.`;
    return { text, exitCode: EXIT.stopped };
  }
  if (/^SQLITE_(READONLY|CANTOPEN|PERM)/.test(code)) {
    const text = `Error: the database cannot be written (${code})\nCheck the permissions of the file and of its folder.`;
    return { text, exitCode: EXIT.usage };
  }
  if (error instanceof Error && "syscall" in error && error.syscall === "uv_cwd") {
    const text = "Error: the current folder no longer exists\nChange to another folder, then try again.";
    return { text, exitCode: EXIT.usage };
  }
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { text: `Unexpected error, a bug of datagen:\n${printable(stack)}`, exitCode: EXIT.bug };
}

/** The text of an error in how a command was typed. */
export function renderUsageError(error: unknown, args: readonly string[]): string {
  const message = error instanceof Error ? error.message : String(error);
  // The first line of clipanion's message is the error; the usages of similar commands follow.
  const words = args.filter((word) => /^[a-z]+$/.test(word)).slice(0, args[0] === "runs" ? 2 : 1);
  const help = [
    "datagen",
    ...words.filter((word) =>
      ["run", "resume", "estimate", "runs", "diff", "export", "import", "prices", "db"].includes(word),
    ),
    "--help",
  ];
  const [first = message] = message.split("\n\n");
  return `Error: ${printable(first.replace(/[;,] did you mean one of:\s*$/, "."))}\nSee \`${help.join(" ")}\`.\n`;
}
