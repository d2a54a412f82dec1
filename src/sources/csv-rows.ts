import { UsageError } from "../errors.ts";
import { LONGEST_ELEMENT } from "./elements.ts";

/*
 * The cutter is ours, because csv-parse stops at the first wrong quote, and its lines are wrong after line breaks in cells.
 * Here each bad row is named with its line, and the rows after it are read. Tests compare the two.
 */

/** The text of one row of a CSV file, without the line break at its end. */
export interface CsvRow {
  text: string;
  /** The line on which it begins, from 1. */
  line: number;
  /** Whether a cell of it is quoted. Cells of other rows end at the next separator. */
  isQuoted: boolean;
  /** What is wrong with its quotes; null if nothing is. */
  problem: string | null;
}

const [QUOTE, LINE_FEED, CARRIAGE_RETURN] = ['"', "\n", "\r"];

const LONE_RETURN =
  "ends in a carriage return (CR), but lines before it in a line feed (LF): a cell with a line break must be in quotes";

/**
 * Cuts a text that comes in chunks into its rows. A row ends at LF, CRLF or CR outside quotes. Lines without a character are
 * left out. CR alone is the problem of its row if lines before it end in LF: pandas puts no quotes around a cell with CR. A
 * quote opens only at the start of a cell; a quote elsewhere is the problem of its row alone.
 */
export class CsvCutter {
  readonly #path: string;
  readonly #separator: string;
  /** What earlier chunks have of the row. */
  #begun = "";
  /** The last character of that. */
  #before = "";
  /** The end of a chunk, whose meaning depends on the next character: a quote in quotes, or CR. */
  #carried = "";
  #isInQuotes = false;
  #line = 1;
  #isQuoted = false;
  #problem: string | null = null;
  /** Whether a line with text before this one ended in a line feed. */
  #hasLineFeeds = false;

  constructor(path: string, separator: string) {
    this.#path = path;
    this.#separator = separator;
  }

  /** The line on which the next row begins. */
  get line(): number {
    return this.#line;
  }

  /** The rows that end in the next chunk of the text. @throws UsageError when a row is too long */
  cut(chunk: string): CsvRow[] {
    return this.#cut(chunk, false);
  }

  /** The last row, if no line break ends it. @throws UsageError when a quote is still open */
  end(): CsvRow[] {
    const rows = this.#cut("", true);
    if (this.#isInQuotes) throw openQuote(this.#path, this.#line);
    this.#finish("", rows);
    return rows;
  }

  #cut(chunk: string, isLast: boolean): CsvRow[] {
    const text = this.#carried + chunk;
    const rows: CsvRow[] = [];
    let start = 0;
    let at = 0;
    // Each is the position of the next such character. It is looked for again only once it is passed.
    let [quote, feed, carriage] = [-1, -1, -1];
    while (at < text.length) {
      if (quote < at) quote = positionOf(text, QUOTE, at);
      if (this.#isInQuotes) {
        at = quote;
        // The next character says whether the quote is doubled.
        if (quote + 1 >= text.length && !(isLast && quote < text.length)) break;
        at += text[quote + 1] === QUOTE ? 2 : 1;
        if (at === quote + 1) this.#closeQuote(text, quote);
        continue;
      }
      if (feed < at) feed = positionOf(text, LINE_FEED, at);
      if (carriage < at) carriage = positionOf(text, CARRIAGE_RETURN, at);
      const end = Math.min(feed, carriage);
      if (quote < end) {
        this.#openQuote(text, quote, quote > start ? (text[quote - 1] ?? "") : this.#before);
        at = quote + 1;
        continue;
      }
      at = end;
      // The next character says whether CR and LF are one line break.
      if (end === text.length || (end === carriage && end + 1 === text.length && !isLast)) break;
      const isPair = feed === end + 1 && carriage === end;
      const isLone = end === carriage && !isPair;
      if (isLone && this.#hasLineFeeds) this.#problem ??= LONE_RETURN;
      // Lines that end in CR, CR, LF have an empty line between them.
      if (!isLone && this.#begun.length + end > start) this.#hasLineFeeds = true;
      this.#finish(text.slice(start, end), rows);
      at = isPair ? end + 2 : end + 1;
      start = at;
    }
    this.#carried = text.slice(at);
    if (at > start) this.#before = text[at - 1] ?? "";
    this.#begun += text.slice(start, at);
    if (this.#begun.length > LONGEST_ELEMENT) throw tooLong(this.#path, this.#line);
    return rows;
  }

  #openQuote(text: string, quote: number, before: string): void {
    if (before === "" || before === this.#separator) {
      this.#isInQuotes = true;
      this.#isQuoted = true;
    } else {
      this.#problem ??= `has a quote within a cell that is not quoted: ${excerptOf(text, quote)}`;
    }
  }

  #closeQuote(text: string, quote: number): void {
    this.#isInQuotes = false;
    const next = text[quote + 1];
    if (next === undefined || next === this.#separator || next === LINE_FEED || next === CARRIAGE_RETURN) return;
    this.#problem ??=
      text[quote - 1] === "\\"
        ? `has a quote behind a backslash, but a quote within a cell must be doubled (""): ${excerptOf(text, quote)}`
        : `has text behind the quote that ends a cell: ${excerptOf(text, quote)}`;
  }

  #finish(rest: string, rows: CsvRow[]): void {
    const text = this.#begun + rest;
    if (text !== "") rows.push({ text, line: this.#line, isQuoted: this.#isQuoted, problem: this.#problem });
    this.#line += 1 + (this.#isQuoted ? lineBreaksIn(text) : 0);
    this.#begun = "";
    this.#before = "";
    this.#isQuoted = false;
    this.#problem = null;
  }
}

/** The cells of a row that has no problem. */
export function cellsOf({ text, isQuoted }: CsvRow, separator: string): string[] {
  if (!isQuoted) return text.split(separator);
  const cells: string[] = [];
  let start = 0;
  while (start <= text.length) {
    let end: number;
    if (text[start] === QUOTE) {
      end = positionOf(text, QUOTE, start + 1);
      let isDoubled = false;
      while (text[end + 1] === QUOTE) {
        isDoubled = true;
        end = positionOf(text, QUOTE, end + 2);
      }
      const cell = text.slice(start + 1, end);
      cells.push(isDoubled ? cell.replaceAll('""', QUOTE) : cell);
      end += 1;
    } else {
      end = positionOf(text, separator, start);
      cells.push(text.slice(start, end));
    }
    start = end + 1;
  }
  return cells;
}

/** The position of a character; the length of the text if there is none. */
function positionOf(text: string, character: string, from: number): number {
  const found = text.indexOf(character, from);
  return found === -1 ? text.length : found;
}

/** How many line breaks a text has: LF, CRLF or CR. */
export function lineBreaksIn(text: string): number {
  if (text.includes(CARRIAGE_RETURN)) return text.match(/\r\n|\r|\n/g)?.length ?? 0;
  let count = 0;
  for (let at = text.indexOf(LINE_FEED); at !== -1; at = text.indexOf(LINE_FEED, at + 1)) count += 1;
  return count;
}

/** The characters around a quote on its line. */
function excerptOf(text: string, quote: number): string {
  const before =
    text
      .slice(Math.max(0, quote - 20), quote)
      .split(/[\r\n]/)
      .at(-1) ?? "";
  const behind = text.slice(quote, quote + 20).split(/[\r\n]/, 1)[0] ?? "";
  return before + behind;
}

function tooLong(path: string, line: number): UsageError {
  return new UsageError(
    `${path}: the row that begins on line ${line} is longer than ${LONGEST_ELEMENT} characters`,
    "Is a quote never closed?",
  );
}

function openQuote(path: string, line: number): UsageError {
  return new UsageError(
    `${path}: the row that begins on line ${line} has a quote that is never closed`,
    'A quote at the start of a cell opens it; one within a quoted cell must be doubled: "".',
  );
}
