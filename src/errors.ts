/** Exit codes of the command line. An error that is not a DatagenError exits with 4. */
export const EXIT = { done: 0, someFailed: 1, usage: 2, stopped: 3, bug: 4, interrupted: 130 } as const;

/** An error that the user can act on: the message says what is wrong, `hint` what to do about it. */
export class DatagenError extends Error {
  override readonly name: string = "DatagenError";
  readonly exitCode: number;
  readonly hint: string | undefined;
  /** Whether nothing is wrong: the user asked for the stop, or for the limit that is reached. */
  readonly isNormal: boolean;

  constructor(
    message: string,
    options: { exitCode: number; hint?: string | undefined; cause?: unknown; isNormal?: boolean },
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.exitCode = options.exitCode;
    this.hint = options.hint;
    this.isNormal = options.isNormal ?? false;
  }
}

/** The command, the config, the data or the environment is wrong; nothing was sent or written. */
export class UsageError extends DatagenError {
  override readonly name = "UsageError";

  constructor(message: string, hint?: string, cause?: unknown) {
    super(message, { exitCode: EXIT.usage, hint, cause });
  }
}

/** The user answered no to a question; nothing was sent. */
export class DeclinedError extends DatagenError {
  override readonly name = "DeclinedError";

  constructor(message: string, hint?: string) {
    super(message, { exitCode: EXIT.usage, hint, isNormal: true });
  }
}

/** The run stopped early for a reason that only a person can fix; it can be resumed. */
export class StoppedError extends DatagenError {
  override readonly name: string = "StoppedError";
  /** What `datagen resume` needs to go on, such as `--max-cost 2`. */
  readonly resumeFlags: string;

  constructor(message: string, hint?: string, cause?: unknown, { isNormal = false, resumeFlags = "" } = {}) {
    super(message, { exitCode: EXIT.stopped, hint, cause, isNormal });
    this.resumeFlags = resumeFlags;
  }
}

/** The run stopped where it was told to: its cap is reached, or it was not to wait for its batches. */
export class PausedError extends StoppedError {
  override readonly name = "PausedError";

  constructor(message: string, hint?: string, resumeFlags = "") {
    super(message, hint, undefined, { isNormal: true, resumeFlags });
  }
}

/** The server refuses what the run was planned with. To resume helps only if the server was at fault. */
export class WrongPlanError extends StoppedError {
  override readonly name = "WrongPlanError";
}

/** The database was moved, removed or replaced while it was in use. */
export class DatabaseTakenError extends StoppedError {
  override readonly name = "DatabaseTakenError";
  /** The path of the copy of its content; null if it could not be written. */
  readonly rescued: string | null;

  constructor(path: string, rescued: string | null, reason: string | null) {
    const said = `the database ${path} was moved, removed or replaced during the run`;
    if (rescued === null) super(`${said}, and a copy of it could not be written: ${reason}`);
    else super(`${said}; its content is saved in ${rescued}`, "Move it to where you want it, or name it with --db.");
    this.rescued = rescued;
  }
}

/** The user asked the run to stop; it can be resumed. */
export class InterruptedError extends DatagenError {
  override readonly name = "InterruptedError";

  constructor(message: string, hint?: string) {
    super(message, { exitCode: EXIT.interrupted, hint, isNormal: true });
  }
}

/** SQLite's and Node's error code (`SQLITE_FULL`, `ENOENT`, …) of an error or of its cause. */
export function errorCode(error: unknown): string | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if ("code" in at && typeof at.code === "string") return at.code;
  }
  return undefined;
}

export function errorMessage(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
