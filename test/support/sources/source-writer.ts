import type { Row } from "../../../src/sources/source.ts";

/** A file that cannot be read to its end. */
export interface BrokenFile {
  name: string;
  content: Buffer;
  /** A part of what is said. */
  says: string | RegExp;
}

/** How tests write files of a format. */
export interface SourceWriter {
  /** The file with these rows. All have the same columns; values are texts or null, unless `isNested`. */
  write(rows: readonly Row[]): Buffer;
  /** Whether rows may hold objects, lists, numbers and true or false. */
  isNested: boolean;
  broken: readonly BrokenFile[];
}
