import { DatagenError, errorCode, EXIT } from "../../errors.ts";
import { printable } from "./text.ts";

/** The text of an error for stderr, and its exit code. */
export function renderError(error: unknown): { text: string; exitCode: number } {
  if (error instanceof DatagenError) {
    const { message } = error;
    const said = error.isNormal ? `${message.charAt(0).toUpperCase()}${message.slice(1)}.` : `Error: ${message}`;
    const lines = [said, ...(error.hint === undefined ? [] : [error.hint])];
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
