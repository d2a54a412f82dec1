import { UsageError } from "../errors.ts";

/** The JSON text of one element of an input file, and the line on which it begins, from 1. */
export interface Element {
  text: string;
  line: number;
}

/** An input and its reference fit, even with every character escaped. A longer element has an open quote or bracket. */
export const LONGEST_ELEMENT = 36_000_000;

const EXPECTED = "Expected a JSON array of {input, reference?}, or JSON Lines of the same.";
const TABLES = "Of a table, let the name end in .csv or .tsv.";

const [QUOTE, BACKSLASH, COMMA, NEWLINE] = [0x22, 0x5c, 0x2c, 0x0a];
const [OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE] = [0x5b, 0x5d, 0x7b, 0x7d];

/**
 * Cuts a text that comes in chunks into the elements of a JSON array, or into the lines of JSON Lines; its first character
 * tells which. Elements are not parsed here: an error then concerns one element only. They come in chunks, too.
 * @throws UsageError when the text ends within the array, or continues after it
 */
export async function* elementsOf(chunks: AsyncIterable<string>, path: string): AsyncGenerator<Element[]> {
  let split: ((chunk: string) => Iterable<Element>) | undefined;
  let end: () => Iterable<Element> = () => {
    throw new UsageError(`${path} is empty`, EXPECTED);
  };
  let blank = "";
  for await (const chunk of chunks) {
    if (split) {
      yield* inOneGo(split(chunk));
      continue;
    }
    blank += chunk;
    const first = /[^ \t\r\n]/.exec(chunk)?.[0];
    if (first === undefined) {
      if (blank.length <= LONGEST_ELEMENT) continue;
      throw new UsageError(`${path} begins with more than ${LONGEST_ELEMENT} blanks`, "Is it the right file?");
    }
    if (first !== "[" && first !== "{") {
      throw new UsageError(`${path} begins with ${JSON.stringify(first)}`, `${EXPECTED} ${TABLES}`);
    }
    [split, end] = first === "[" ? arraySplitter(path) : lineSplitter(path);
    yield* inOneGo(split(blank));
  }
  yield* inOneGo(end());
}

/** The elements of one chunk. Those before an error come first. */
function* inOneGo(elements: Iterable<Element>): Generator<Element[]> {
  const list: Element[] = [];
  try {
    for (const element of elements) list.push(element);
  } catch (error) {
    yield list;
    throw error;
  }
  yield list;
}

type Splitter = [split: (chunk: string) => Iterable<Element>, end: () => Iterable<Element>];

function arraySplitter(path: string): Splitter {
  let depth = 0;
  let inString = false;
  let escaped = false;
  let closed = false;
  let line = 1;
  let count = 0;
  let element: Element | undefined;

  function* split(chunk: string): Iterable<Element> {
    let start = 0;
    for (let at = 0; at < chunk.length; at += 1) {
      const code = chunk.charCodeAt(at);
      if (code === NEWLINE) line += 1;
      if (inString) {
        if (escaped) escaped = false;
        else if (code === BACKSLASH) escaped = true;
        else if (code === QUOTE) inString = false;
        continue;
      }
      if (code <= 0x20) continue;
      if (closed) throw new UsageError(`${path}, line ${line}: expected the end of the file after its array`);
      const ends = depth === 1 && (code === COMMA || code === CLOSE_BRACKET);
      if (ends) {
        if (element) yield { text: element.text + chunk.slice(start, at), line: element.line };
        else if (code === COMMA || count > 0) yield { text: "", line };
        element = undefined;
        count += 1;
      } else if (depth === 1 && !element) {
        element = { text: "", line };
        start = at;
      }
      if (code === QUOTE) inString = true;
      else if (code === OPEN_BRACKET || code === OPEN_BRACE) depth += 1;
      else if (code === CLOSE_BRACKET || (code === CLOSE_BRACE && depth > 1)) depth -= 1;
      closed = depth === 0;
    }
    if (element) {
      element.text += chunk.slice(start);
      if (element.text.length > LONGEST_ELEMENT) throw tooLong(path, count, element.line);
    }
  }

  function end(): Iterable<Element> {
    if (closed) return [];
    throw new UsageError(
      `${path} ends in the middle of row ${count}${element ? `, which begins on line ${element.line}` : ""}`,
      "Is the file complete? Its array is never closed.",
    );
  }
  return [split, end];
}

function lineSplitter(path: string): Splitter {
  let rest = "";
  let line = 0;
  let count = 0;

  function* split(chunk: string): Iterable<Element> {
    let start = 0;
    for (let end = chunk.indexOf("\n"); end !== -1; end = chunk.indexOf("\n", start)) {
      const text = rest + chunk.slice(start, end);
      rest = "";
      start = end + 1;
      yield* element(text);
    }
    rest += chunk.slice(start);
    if (rest.length > LONGEST_ELEMENT) throw tooLong(path, count, line + 1);
  }

  function* element(text: string): Iterable<Element> {
    line += 1;
    if (text.trim() === "") return;
    yield { text, line };
    count += 1;
  }
  return [split, () => element(rest)];
}

function tooLong(path: string, row: number, line: number): UsageError {
  return new UsageError(
    `${path}: row ${row}, which begins on line ${line}, is longer than ${LONGEST_ELEMENT} characters`,
    "Is a quote or a bracket never closed?",
  );
}
