import { UsageError } from "../errors.ts";

/** A piece of the JSON text of an object: a member, or an element of the one array that is cut up itself. */
export interface Piece {
  /** The JSON text of an element; of a member `"name": value`. */
  text: string;
  /** The line it begins on, from 1. */
  line: number;
  /** The position in the array, from 0; null for a member. */
  index: number | null;
}

/** Longer pieces are a quote or a bracket that was never closed: a task has many answers, the other members have few. */
const LONGEST = { element: 48_000_000, member: 16_000_000 };

const [QUOTE, BACKSLASH, COMMA, NEWLINE] = [0x22, 0x5c, 0x2c, 0x0a];
const [OPEN_BRACKET, CLOSE_BRACKET, OPEN_BRACE, CLOSE_BRACE] = [0x5b, 0x5d, 0x7b, 0x7d];

/**
 * Cuts the text of a JSON object, which comes in chunks, into its members, and the array that is the member `array`
 * into its elements, wherever it stands among the others. A piece is not parsed here, so that an error in one is that
 * piece's own.
 * @throws UsageError where the text is no object, ends in the middle of it, or goes on behind it
 */
export async function* piecesOf(chunks: AsyncIterable<string>, path: string, array: string): AsyncGenerator<Piece> {
  const cutter = createCutter(path, array);
  for await (const chunk of chunks) yield* cutter.cut(chunk);
  cutter.end();
}

/**
 * The first of some keys that stands more than once in an object's JSON text, which is valid; null where none does.
 * `JSON.parse` would take the last of them without a word.
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

/** @param array the member that is cut up itself; null where none is */
function createCutter(
  path: string,
  array: string | null,
): { cut: (chunk: string) => Iterable<Piece>; end: () => void } {
  let depth = 0;
  /** The depth whose commas part pieces: 1 for members, 2 for elements. */
  let level = 1;
  let inString = false;
  let escaped = false;
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
      if (inString) {
        at = behindString(chunk, at);
        if (at === chunk.length) break;
      }
      const code = chunk.charCodeAt(at);
      if (code === NEWLINE) line += 1;
      if (code <= 0x20) continue;
      if (closed) throw goesOn(line);
      if (depth === 0 && code !== OPEN_BRACE) throw noObject(chunk.slice(at));
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
        if (isBehindArray) throw new UsageError(`${path}, line ${line}: expected a comma after the array "${array}"`);
        piece = { text: "", line, index: level === 1 ? null : elements };
        start = at;
      }
      const opensArray =
        array !== null &&
        code === OPEN_BRACKET &&
        depth === 1 &&
        level === 1 &&
        piece &&
        isNameOf(piece.text + chunk.slice(start, at));
      if (opensArray) {
        if (hasArray) throw new UsageError(`${path}, line ${line}: the key "${array}" stands twice`);
        hasArray = true;
        piece = undefined;
        level = 2;
      }
      if (code === QUOTE) inString = true;
      else if (code === OPEN_BRACKET || code === OPEN_BRACE) depth += 1;
      else if (closes || ((code === CLOSE_BRACKET || code === CLOSE_BRACE) && depth > level)) depth -= 1;
      if (closes) level = 1;
      closed = depth === 0;
    }
    if (piece) {
      piece.text += chunk.slice(start);
      if (piece.text.length > longest(piece)) throw tooLong(piece);
    }
  }

  /** Where a string that goes on at `from` has ended, or the end of the chunk where it has not. */
  function behindString(chunk: string, from: number): number {
    let at = from;
    while (at < chunk.length) {
      const quote = chunk.indexOf('"', at);
      const stop = quote === -1 ? chunk.length : quote;
      let backslashes = 0;
      while (backslashes < stop - at && chunk.charCodeAt(stop - 1 - backslashes) === BACKSLASH) backslashes += 1;
      // The run of them may have begun in the chunk before.
      if (backslashes === stop - at && escaped) backslashes += 1;
      const isOdd = backslashes % 2 === 1;
      escaped = quote === -1 && isOdd;
      inString = quote === -1 || isOdd;
      at = stop + 1;
      if (!inString) return at;
    }
    return chunk.length;
  }

  /** Whether a member that begins so has the array's name. */
  function isNameOf(beginning: string): boolean {
    try {
      return Object.keys(JSON.parse(`{${beginning}0}`) as object)[0] === array;
    } catch {
      return false;
    }
  }

  function end(): void {
    if (closed) return;
    if (depth === 0) throw new UsageError(`${path} is empty`, EXPECTED);
    const where = piece ? `, in ${placeOf(piece)}` : level === 2 ? `, in the array "${array}"` : "";
    throw new UsageError(
      `${path} ends in the middle of its object${where}`,
      "Is the file complete? Something in it is never closed.",
    );
  }

  function placeOf({ index, line: begin }: Piece): string {
    return `${index === null ? "the member" : `${array}[${index}]`} that begins on line ${begin}`;
  }

  function tooLong(long: Piece): UsageError {
    return new UsageError(
      `${path}: ${placeOf(long)} is longer than ${longest(long)} characters`,
      "Is a quote or a bracket never closed?",
    );
  }

  function noObject(text: string): UsageError {
    return new UsageError(
      `${path} begins with ${JSON.stringify(String.fromCodePoint(text.codePointAt(0) ?? 0))}`,
      EXPECTED,
    );
  }

  function goesOn(at: number): UsageError {
    return new UsageError(`${path}, line ${at}: expected the end of the file after its object`, EXPECTED);
  }

  return { cut, end };
}

const EXPECTED = "Expected a dataset: one JSON object, as `datagen export --format json` writes it.";
