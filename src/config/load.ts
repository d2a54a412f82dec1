import { readFile, stat } from "node:fs/promises";
import { findNodeAtLocation, type Node, type ParseError, parseTree, printParseErrorCode } from "jsonc-parser";
import { errorCode, UsageError } from "../errors.ts";
import { parseConfig } from "./parse.ts";
import type { Path } from "./problems.ts";
import type { Config } from "./schema.ts";

/**
 * Reads a config: JSON, in which comments and trailing commas are accepted.
 * @throws UsageError when the file cannot be read, is no JSON, or is no valid config; all its problems at once
 */
export async function loadConfig(path: string): Promise<Config> {
  const text = await readText(path);
  const errors: ParseError[] = [];
  const tree = parseTree(text, errors, { allowTrailingComma: true, allowEmptyContent: true });
  if (!tree && errors.length === 0)
    throw new UsageError(`${path} is empty`, "A config is a JSON object; see README.md.");
  if (errors.length > 0 || !tree) {
    // What follows an error on its line is mostly its consequence.
    const byLine = new Map(errors.toReversed().map((error) => [lineAt(text, error.offset), error]));
    const lines = [...byLine.values()].toReversed().map((error) => `  ${syntaxProblem(text, error)}`);
    throw new UsageError(`${path} is not valid JSON:\n${lines.join("\n")}`);
  }
  const repeated = repeatedKeys(tree).map((key) => `  ${place(text, key.offset)}: the key "${key.value}" stands twice`);
  if (repeated.length > 0) throw new UsageError(`${path} is not clear:\n${repeated.join("\n")}`);
  return parseConfig(valueOf(tree), path, (at) => lineOf(text, tree, at));
}

async function readText(path: string): Promise<string> {
  try {
    if ((await stat(path)).isDirectory()) {
      throw new UsageError(`${path} is a directory, not a config file`, "Name a file in it, such as a .json file.");
    }
    const bytes = await readFile(path);
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch (error) {
    if (error instanceof UsageError) throw error;
    if (errorCode(error) === "ENOENT") {
      throw new UsageError(`there is no config file ${path}`, "Check the path; it is relative to the current folder.");
    }
    if (errorCode(error) === "ERR_ENCODING_INVALID_ENCODED_DATA") throw new UsageError(`${path} is not UTF-8 text`);
    throw new UsageError(
      `the config file ${path} cannot be read: ${errorCode(error) ?? String(error)}`,
      undefined,
      error,
    );
  }
}

function syntaxProblem(text: string, { error, offset, length }: ParseError): string {
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
  return `${place(text, offset)}: ${problems[printParseErrorCode(error)] ?? `unexpected ${found}`}`;
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

function place(text: string, offset: number): string {
  const before = text.slice(0, offset).split("\n");
  return `line ${before.length}, column ${(before.at(-1)?.length ?? 0) + 1}`;
}

function lineAt(text: string, offset: number): number {
  return text.slice(0, offset).split("\n").length;
}

function lineOf(text: string, tree: Node, path: Path): number {
  for (let length = path.length; length > 0; length -= 1) {
    const node = findNodeAtLocation(tree, path.slice(0, length));
    if (node) return lineAt(text, (node.parent?.type === "property" ? node.parent : node).offset);
  }
  return 1;
}
