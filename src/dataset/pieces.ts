import { UsageError } from "../errors.ts";

/** A piece of the JSON text of an object: a member, or an element of the array that is cut into elements. */
export interface Piece {
  /** The JSON text of an element; for a member `"name": value`. */
  text: string;
  /** The line on which it begins, from 1. */
  line: number;
  /** The position in the array, from 0; null for a member. */
  index: number | null;
}

/** A task may have many answers, other members are short. A longer piece has a quote or a bracket that was never closed. */
const LONGEST = { element: 48_000_000, member: 16_000_000 };

const [QUOTE, BACKSLASH, COMMA, NEWLINE] = [0x22, 0x5c, 0x2c, 0x0a];
const [OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE] = [0x5b, 0x5d, 0x7b, 0x7d];

/**
 * Cuts the text of a JSON object, which comes in chunks, into its members. The member `array` is cut into its elements; it
 * may be at any position. Pieces are not parsed here: an error then concerns one piece only.
 * @throws UsageError when the text is not an object, ends within the object, or continues after it
 */
export async function* piecesOf(chunks: AsyncIterable<string>, path: string, array: string): AsyncGenerator<Piece> {
  const cutter = createCutter(path, array);
  for await (const chunk of chunks) yield* cutter.cut(chunk);
  cutter.end();
}

/**
 * The first of some keys that occurs more than once in the valid JSON text of an object; null if none does. `JSON.parse`
 * would silently take the last one.
 */
export function repeatedKey(text: string, keys: readonly string[]): string | null {
  const suspects = keys.filter((key) => text.indexOf(`"${key}"`, text.indexOf(`"${key}"`) + 1) > 0);
  if (suspects.length === 0) return null;
  const seen = new Set<string>();
  for (const piece of createCutter("", null).cut(text)) {
    const [name = ""] = Object.keys(JSON.parse(`{${piece.text}}`) as object);
    if (seen.has(name) && suspects.includes(name)) return name;
    seen.add(name);
  }
  return null;
}

function longest({ index }: Piece): number {
  return index === null ? LONGEST.member : LONGEST.element;
}

/** @param array the member that is cut into elements; null for none */
function createCutter(
  path: string,
  array: string | null,
): { cut: (chunk: string) => Iterable<Piece>; end: () => void } {
  const errors = errorsOf(path, array);
  const string = createStringScanner();
  let depth = 0;
  /** The depth whose commas part pieces: 1 for members, 2 for elements. */
  let level = 1;
  let closed = false;
  let line = 1;
  let members = 0;
  let elements = 0;
  /** Whether the array was cut up, and nothing but a comma or the end of the object may follow it. */
  let isBehindArray = false;
  let hasArray = false;
  let piece: Piece | undefined;

  function* cut(chunk: string): Iterable<Piece> {
    let start = 0;
    for (let at = 0; at < chunk.length; at += 1) {
      if (string.isOpen()) {
        at = string.skip(chunk, at);
        if (at === chunk.length) break;
      }
      const code = chunk.charCodeAt(at);
      if (code === NEWLINE) line += 1;
      if (code <= 0x20) continue;
      if (closed) throw errors.goesOn(line);
      if (depth === 0 && code !== OPEN_BRACE) throw errors.noObject(chunk.slice(at));
      const closes = depth === level && code === (level === 1 ? CLOSE_BRACE : CLOSE_BRACKET);
      if (closes || (depth === level && code === COMMA)) {
        const count = level === 1 ? members : elements;
        if (piece) yield { ...piece, text: piece.text + chunk.slice(start, at) };
        else if (!isBehindArray && (!closes || count > 0)) yield { text: "", line, index: level === 1 ? null : count };
        piece = undefined;
        isBehindArray = closes && level === 2;
        if (level === 1) members += 1;
        else elements += 1;
      } else if (depth === level && !piece) {
        if (isBehindArray) throw errors.noComma(line);
        piece = { text: "", line, index: level === 1 ? null : elements };
        start = at;
      }
      const mayOpenArray = array !== null && code === OPEN_BRACKET && depth === 1 && level === 1 && piece;
      if (mayOpenArray && nameOf(mayOpenArray.text + chunk.slice(start, at)) === array) {
        if (hasArray) throw errors.twice(line);
        hasArray = true;
        piece = undefined;
        level = 2;
      }
      if (code === QUOTE) string.open();
      else if (code === OPEN_BRACKET || code === OPEN_BRACE) depth += 1;
      else if (closes || ((code === CLOSE_BRACKET || code === CLOSE_BRACE) && depth > level)) depth -= 1;
      if (closes) level = 1;
      closed = depth === 0;
    }
    if (piece) {
      piece.text += chunk.slice(start);
      if (piece.text.length > longest(piece)) throw errors.tooLong(piece);
    }
  }

  return {
    cut,
    end() {
      if (!closed) throw depth === 0 ? errors.empty() : errors.endsEarly(piece, level === 2);
    },
  };
}

/** Finds the ends of strings, which may go on from one chunk to the next. */
function createStringScanner(): {
  isOpen: () => boolean;
  open: () => void;
  skip: (chunk: string, from: number) => number;
} {
  let isOpen = false;
  let escaped = false;
  return {
    isOpen: () => isOpen,
    open() {
      isOpen = true;
    },
    /** The position after a string that continues at `from`, or the end of the chunk if the string does not end in it. */
    skip(chunk, from) {
      let at = from;
      while (at < chunk.length) {
        const quote = chunk.indexOf('"', at);
        const stop = quote === -1 ? chunk.length : quote;
        let backslashes = 0;
        while (backslashes < stop - at && chunk.charCodeAt(stop - 1 - backslashes) === BACKSLASH) backslashes += 1;
        // The backslashes may have begun in the chunk before.
        if (backslashes === stop - at && escaped) backslashes += 1;
        const isOdd = backslashes % 2 === 1;
        escaped = quote === -1 && isOdd;
        isOpen = quote === -1 || isOdd;
        at = stop + 1;
        if (!isOpen) return at;
      }
      return chunk.length;
    },
  };
}

/** The name of a member that begins like this; undefined if it is not valid. */
function nameOf(beginning: string): string | undefined {
  try {
    return Object.keys(JSON.parse(`{${beginning}0}`) as object)[0];
  } catch {
    return undefined;
  }
}

const EXPECTED = "Expected a dataset: one JSON object, as `datagen export --format json` writes it.";

/** The errors for a text that cannot be cut into pieces. */
function errorsOf(path: string, array: string | null) {
  const placeOf = ({ index, line }: Piece) =>
    `${index === null ? "the member" : `${array}[${index}]`} that begins on line ${line}`;
  const firstOf = (text: string) => JSON.stringify(String.fromCodePoint(text.codePointAt(0) ?? 0));
  return {
    empty: () => new UsageError(`${path} is empty`, EXPECTED),
    noObject: (text: string) => new UsageError(`${path} begins with ${firstOf(text)}`, EXPECTED),
    noComma: (line: number) => new UsageError(`${path}, line ${line}: expected a comma after the array "${array}"`),
    twice: (line: number) => new UsageError(`${path}, line ${line}: the key "${array}" occurs twice`),
    goesOn: (line: number) =>
      new UsageError(`${path}, line ${line}: expected the end of the file after its object`, EXPECTED),
    tooLong: (piece: Piece) =>
      new UsageError(
        `${path}: ${placeOf(piece)} is longer than ${longest(piece)} characters`,
        "Is a quote or a bracket never closed?",
      ),
    endsEarly(piece: Piece | undefined, isInArray: boolean) {
      const where = piece ? `, in ${placeOf(piece)}` : isInArray ? `, in the array "${array}"` : "";
      return new UsageError(
        `${path} ends in the middle of its object${where}`,
        "Is the file complete? Something in it is never closed.",
      );
    },
  };
}
