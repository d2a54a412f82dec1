/** A row: its values by column. Values are those of JSON, and `bigint` for whole numbers that a number cannot hold. */
export type Row = Record<string, unknown>;

/** A row of a file, or what is wrong with it. */
export type SourceRow =
  | {
      /** The row of the file, from 0. */
      index: number;
      /** The line on which it begins, from 1; null if the format has no lines. */
      line: number | null;
      row: Row;
    }
  | {
      index: number;
      line: number | null;
      /** Without the place, such as `has 3 cells, but the header has 4`. */
      problem: string;
    };

/** A column that a file states for all its rows. */
export interface Column {
  name: string;
  /** In the words of the format, such as `int64`. */
  type: string;
}

/** An open file of rows. Its functions throw UsageError when the file cannot be read any further. */
export interface OpenSource {
  /** Null if each row has its own columns. */
  columns: readonly Column[] | null;
  /** The rows in chunks, in the order of the file. Reading may stop early. */
  rows(): AsyncIterable<readonly SourceRow[]>;
  /** How many rows follow the chunks that were read; null if the rest is broken. */
  countRest(): Promise<number | null>;
  /** Reads the rest of the file. @returns the SHA-256 of its bytes, in hex */
  sha256(): Promise<string>;
  close(): void | Promise<void>;
}

export interface OpenOptions {
  /** The columns at the top level that are needed; null for all. A format leaves others unread if it can. */
  columns: readonly string[] | null;
  /** Gets what the user should know, such as the separator that was found. */
  onWarning: (message: string) => void;
}

/** The first axis of datagen: a format of input files. */
export interface Source {
  /** The endings of its files, without a dot. */
  endings: readonly string[];
  /** Whether its files are text, which may be compressed with gzip. */
  isText: boolean;
  /** @throws UsageError when the file cannot be read or is not of this format */
  open(path: string, options: OpenOptions): Promise<OpenSource>;
}
