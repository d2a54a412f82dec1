import { findNodeAtLocation, type Node, type ParseError, parseTree, printParseErrorCode, visit } from "jsonc-parser";
import { UsageError } from "../errors.ts";
import { type FileWords, readSmallTextFile } from "../files/text-file.ts";
import { MOST_DEPTH, TOO_DEEP } from "./depth.ts";
import { parseConfig } from "./parse.ts";
import { listed, MOST_PROBLEMS, type Path } from "./problems.ts";
import type { Config } from "./schema.ts";

/** Instructions are texts as inputs are, and there is room for some that are too long, to name them. */
const MOST_BYTES = 16_000_000;
/** A config has far fewer keys and values; each takes memory of many times its text. */
const MOST_VALUES = 250_000;

/** The parser puts blanks together one by one, and takes fifty times their size for that. */
const BLANKS = /[^\S\n]{1000000}/;

const WORDS: FileWords = {
  name: "config file",
  missing: "Check the path; it is relative to the current folder.",
  irregular: "A config is a JSON object; see README.md.",
};

/**
 * Reads a config: JSON, in which comments and trailing commas are accepted.
 * @throws UsageError when the file cannot be read, is no JSON, or is no valid config; all its problems at once
 */
export async function loadConfig(path: string): Promise<Config> {
  const text = await readSmallTextFile(path, WORDS, MOST_BYTES);
  if (BLANKS.test(text)) throw new UsageError(`${path} has a million blanks in a row`, WORDS.irregular);
  const placeOf = placesIn(text);
  const errors = checkSyntax(text, path, placeOf);
  if (errors.length > 0) {
    // What follows an error on its line is mostly its consequence.
    const byLine = new Map(errors.toReversed().map((error) => [placeOf(error.offset).line, error]));
    const lines = [...byLine.values()].toReversed().map((error) => `  ${syntaxProblem(text, placeOf, error)}`);
    throw new UsageError(`${path} is not valid JSON:\n${lines.join("\n")}`);
  }
  const tree = parseTree(text, [], SYNTAX);
  if (!tree) throw new UsageError(`${path} is empty`, WORDS.irregular);
  const repeated = repeatedKeys(tree).map(
    ({ value, offset }) => `${said(placeOf(offset))}: the key "${value}" stands twice`,
  );
  if (repeated.length > 0) throw new UsageError(`${path} is not clear:\n${listed(repeated)}`);
  return parseConfig(valueOf(tree), path, (at) => lineOf(placeOf, tree, at));
}

const SYNTAX = { allowTrailingComma: true, allowEmptyContent: true };

/** Ends a visit of a text that need not be looked at further. */
class Enough extends Error {}

/**
 * The first errors of a config's text.
 * @throws UsageError where it is nested too deep, or has too many values, to be taken as a whole
 */
function checkSyntax(text: string, path: string, placeOf: PlaceOf): ParseError[] {
  const errors: ParseError[] = [];
  let depth = 0;
  let values = 0;
  const count = () => {
    values += 1;
    if (values > MOST_VALUES) throw new UsageError(`${path} has more than ${MOST_VALUES} values`, WORDS.irregular);
  };
  const open = (offset: number) => {
    count();
    depth += 1;
    if (depth > MOST_DEPTH) throw new UsageError(`${path}, ${said(placeOf(offset))}: ${TOO_DEEP}`, WORDS.irregular);
  };
  const close = () => {
    depth -= 1;
  };
  const visitor = {
    onObjectBegin: open,
    onObjectEnd: close,
    onArrayBegin: open,
    onArrayEnd: close,
    onObjectProperty: count,
    onLiteralValue: count,
    onError(error: number, offset: number, length: number) {
      errors.push({ error, offset, length });
      if (errors.length === MOST_PROBLEMS) throw new Enough();
    },
  };
  try {
    visit(text, visitor, SYNTAX);
  } catch (error) {
    if (!(error instanceof Enough)) throw error;
  }
  return errors;
}

function syntaxProblem(text: string, placeOf: PlaceOf, { error, offset, length }: ParseError): string {
  const found = JSON.stringify(text.slice(offset, offset + Math.max(length, 1))) ?? "";
  const problems: Record<string, string> = {
    InvalidSymbol: `${found} is no JSON value`,
    InvalidNumberFormat: `${found} is no JSON number`,
    PropertyNameExpected: `expected a key in double quotes, found ${found}`,
    ValueExpected: `expected a value, found ${found}`,
    ColonExpected: `expected a colon, found ${found}`,
    CommaExpected: `expected a comma, found ${found}`,
    CloseBraceExpected: "a { is never closed",
    CloseBracketExpected: "a [ is never closed",
    EndOfFileExpected: `expected the end of the file, found ${found}`,
    UnexpectedEndOfComment: "a comment is never closed",
    UnexpectedEndOfString: "a string is never closed",
    InvalidUnicode: `${found} holds a broken \\u escape`,
    InvalidEscapeCharacter: `${found} holds an escape that JSON does not have`,
    InvalidCharacter: `${found} is a control character, which JSON wants escaped`,
  };
  return `${said(placeOf(offset))}: ${problems[printParseErrorCode(error)] ?? `unexpected ${found}`}`;
}

function repeatedKeys(node: Node): { value: string; offset: number }[] {
  const children = node.children ?? [];
  const keys = node.type === "object" ? children.flatMap((property) => property.children?.slice(0, 1) ?? []) : [];
  const seen = new Set<unknown>();
  const repeated = keys.filter(({ value }) => seen.size === seen.add(value).size);
  return [
    ...repeated.map(({ value, offset }) => ({ value: String(value), offset })),
    ...children.flatMap(repeatedKeys),
  ];
}

// jsonc-parser's own getNodeValue sets __proto__ as a prototype; a config's keys are data.
function valueOf(node: Node): unknown {
  if (node.type === "array") return node.children?.map(valueOf) ?? [];
  if (node.type !== "object") return node.value as unknown;
  const entries = (node.children ?? []).flatMap(({ children }) => {
    const [key, value] = children ?? [];
    return key && value ? [[String(key.value), valueOf(value)] as const] : [];
  });
  return Object.fromEntries(entries);
}

interface Place {
  /** Both from 1. */
  line: number;
  column: number;
}
type PlaceOf = (offset: number) => Place;

/** Finds the place of an offset; it goes on from the last one, as most come in the order of the text. */
function placesIn(text: string): PlaceOf {
  let [line, start] = [1, 0];
  return (offset) => {
    if (offset < start) [line, start] = [1, 0];
    for (let end = text.indexOf("\n", start); end !== -1 && end < offset; end = text.indexOf("\n", start)) {
      line += 1;
      start = end + 1;
    }
    return { line, column: offset - start + 1 };
  };
}

function said({ line, column }: Place): string {
  return `line ${line}, column ${column}`;
}

function lineOf(placeOf: PlaceOf, tree: Node, path: Path): number {
  for (let length = path.length; length > 0; length -= 1) {
    const node = findNodeAtLocation(tree, path.slice(0, length));
    if (node) return placeOf((node.parent?.type === "property" ? node.parent : node).offset).line;
  }
  return 1;
}
