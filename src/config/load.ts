import { findNodeAtLocation, type Node, type ParseError, parseTree, printParseErrorCode, visit } from "jsonc-parser";
import { UsageError } from "../errors.ts";
import { type FileWords, readSmallTextFile } from "../files/text-file.ts";
import { MOST_DEPTH, TOO_DEEP } from "../files/depth.ts";
import { findInputs } from "./find-inputs.ts";
import { parseConfigs } from "./parse.ts";
import { listed, MOST_PROBLEMS, type Path } from "./problems.ts";
import type { Config } from "./schema.ts";

/** Room for instructions that are as long as inputs may be, and for some longer ones, so that an error can name them. */
const MOST_BYTES = 16_000_000;
/** A real config has far fewer keys and values. Each takes many times the memory of its text. */
const MOST_VALUES = 250_000;

/** The parser joins blanks one by one, which takes fifty times their size in memory. */
const BLANKS = /[^\S\n]{1000000}/;

const WORDS: FileWords = {
  name: "config file",
  missing: "Check the path; it is relative to the current folder.",
  irregular: "A config is a JSON object; see docs/configs.md.",
};

/**
 * Reads a config: JSON, with comments and trailing commas allowed. A relative path of its inputs leads to a file beside the
 * current folder or, if there is none, to one beside the config.
 * @returns a config for each of its models
 * @throws UsageError when the file cannot be read, is not JSON, or is not a valid config; it lists all problems
 * @throws UsageError when the file of the inputs is in neither folder
 */
export async function loadConfigs(path: string): Promise<Config[]> {
  const text = await readSmallTextFile(path, WORDS, MOST_BYTES);
  if (BLANKS.test(text)) throw new UsageError(`${path} has a million blanks in a row`, WORDS.irregular);
  const placeOf = placesIn(text);
  const errors = checkSyntax(text, path, placeOf);
  if (errors.length > 0) {
    // Later errors on a line usually follow from the first.
    const byLine = new Map(errors.toReversed().map((error) => [placeOf(error.offset).line, error]));
    const lines = [...byLine.values()].toReversed().map((error) => `  ${syntaxProblem(text, placeOf, error)}`);
    throw new UsageError(`${path} is not valid JSON:\n${lines.join("\n")}`);
  }
  const tree = parseTree(text, [], SYNTAX);
  if (!tree) throw new UsageError(`${path} is empty`, WORDS.irregular);
  const repeated = repeatedKeys(tree).map(
    ({ value, offset }) => `${said(placeOf(offset))}: the key "${value}" occurs twice`,
  );
  if (repeated.length > 0) throw new UsageError(`${path} has repeated keys:\n${listed(repeated)}`);
  return parseConfigs(valueOf(tree), path, (at) => lineOf(placeOf, tree, at)).map((config) => {
    const inputs = findInputs(config.data_config.input_data_path, path);
    return { ...config, data_config: { ...config.data_config, input_data_path: inputs } };
  });
}

/**
 * Reads a config of one model.
 * @throws UsageError as {@link loadConfigs} does, and when it has several models
 */
export async function loadConfig(path: string): Promise<Config> {
  const [config, ...others] = await loadConfigs(path);
  if (config && others.length === 0) return config;
  throw new UsageError(`${path} has ${others.length + 1} models in model_config`, "Load it with loadConfigs.");
}

const SYNTAX = { allowTrailingComma: true, allowEmptyContent: true };

/** Thrown to stop the visit of a text early. */
class Enough extends Error {}

/**
 * The first errors of a config's text.
 * @throws UsageError when it is nested too deep or has too many values
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
    InvalidSymbol: `${found} is not a JSON value`,
    InvalidNumberFormat: `${found} is not a JSON number`,
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
    InvalidCharacter: `${found} is a control character, which must be escaped in JSON`,
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

// jsonc-parser's getNodeValue would set __proto__ as the prototype; here it is a key like any other.
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
  /** Line and column count from 1. */
  line: number;
  column: number;
}
type PlaceOf = (offset: number) => Place;

/** Finds the place of an offset. It continues from the last one, because offsets mostly come in the order of the text. */
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
