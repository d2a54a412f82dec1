import leven from "leven";
import { z } from "zod";

/** One problem of a config: where it is, what was expected and what was found. */
export interface Problem {
  path: Path;
  /** Such as `expected a number from 0 to 2, found 7`. */
  text: string;
}

export type Path = (string | number)[];

/** How many problems of one source to list. With more, one mistake is usually behind all of them. */
export const MOST_PROBLEMS = 50;

/** The first problems as indented lines, and the number of the others. */
export function listed(problems: readonly string[]): string {
  const lines = problems.slice(0, MOST_PROBLEMS).map((problem) => `  ${problem}`);
  const more = problems.length - lines.length;
  return [...lines, ...(more > 0 ? [`  and ${more} more`] : [])].join("\n");
}

/** The problems of a value that did not pass `schema`. The message of each rule in it says what the rule expects. */
export function problemsOf(error: z.ZodError, schema: z.ZodType, value: unknown): Problem[] {
  const meant = new Set<string>();
  const unknown: Problem[] = [];
  const others: Problem[] = [];
  for (const issue of error.issues) {
    const path = issue.path as Path;
    if (issue.code === "unrecognized_keys") {
      const known = keysAt(schema, path);
      for (const key of issue.keys) {
        // Past the limit only the number is shown, so no advice is needed.
        if (unknown.length >= MOST_PROBLEMS) {
          unknown.push({ path, text: "" });
          continue;
        }
        const guess = nearest(key, known);
        if (guess) meant.add(formatPath([...path, guess]));
        unknown.push({ path: [...path, key], text: `unknown key; ${adviceOn(key, guess, known, schema)}` });
      }
    } else {
      const found = valueAt(value, path);
      const expected = `expected ${issue.message}`;
      others.push({ path, text: found === undefined ? `missing; ${expected}` : `${expected}, found ${show(found)}` });
    }
  }
  // A key that is missing because it was misspelt is one mistake, not two.
  const missing = others.filter(({ path, text }) => !(text.startsWith("missing") && meant.has(formatPath(path))));
  return [...unknown, ...missing];
}

/** All problems of one source as an error's message: a line for each, in the order of the file. */
export function formatProblems(
  source: string,
  problems: Problem[],
  lineOf: (path: Path) => number | undefined = () => undefined,
): string {
  const first = problems.slice(0, MOST_PROBLEMS);
  const placed = first
    .map(({ path, text }) => ({ line: lineOf(path), at: formatPath(path), text }))
    .toSorted((a, b) => (a.line ?? 0) - (b.line ?? 0));
  const lines = placed.map(({ line, at, text }) => {
    const place = [line === undefined ? "" : `line ${line}`, at].filter(Boolean).join(", ");
    return `${place ? `${place}: ` : ""}${text}`;
  });
  const rest = problems.slice(MOST_PROBLEMS).map(({ text }) => text);
  return `${source} has ${problems.length === 1 ? "1 error" : `${problems.length} errors`}:\n${listed([...lines, ...rest])}`;
}

export function formatPath(path: Path): string {
  return path.reduce<string>((text, part) => {
    if (typeof part === "number") return `${text}[${part}]`;
    const key = part.length > LONGEST_KEY ? `${part.slice(0, LONGEST_KEY)}...` : part;
    return text ? `${text}.${key}` : key;
  }, "");
}

/** A value for an error: JSON on one line, cut if it is long. */
export function show(value: unknown): string {
  if (typeof value === "number") return String(value);
  const url = typeof value === "string" ? URL.parse(value) : null;
  // A user name, a password, a query or a fragment may be secret.
  if (url && (url.username || url.password || url.search || url.hash))
    return `a URL of ${url.host} with a user name, a password, a query or a fragment`;
  const json = JSON.stringify(value) ?? typeof value;
  return json.length > 60 ? `${json.slice(0, 57)}...` : json;
}

/** Longer words cannot be a misspelt key. */
const LONGEST_KEY = 60;

/** The candidate that `word` most likely means, if one is similar. */
function nearest(word: string, candidates: readonly string[]): string | undefined {
  if (word.length > LONGEST_KEY) return undefined;
  const plain = (text: string) => text.toLowerCase().replaceAll(/[^a-z0-9]/g, "");
  const longer = candidates.find((candidate) => plain(word).length > 3 && plain(candidate).startsWith(plain(word)));
  if (longer) return longer;
  const [best] = candidates
    .map((candidate) => ({ candidate, distance: leven(plain(word), plain(candidate)) }))
    .toSorted((a, b) => a.distance - b.distance);
  return best && best.distance <= Math.max(1, Math.floor(best.candidate.length / 3)) ? best.candidate : undefined;
}

function adviceOn(key: string, guess: string | undefined, known: readonly string[], schema: z.ZodType): string {
  const others = known.includes("extra_body") ? "; other members of a request go into extra_body" : "";
  if (guess) return `did you mean "${guess}"?`;
  const owner = keysAt(schema, []).find((name) => keysAt(schema, [name]).includes(key));
  return owner ? `it belongs in ${owner}` : `the keys here are ${known.join(", ")}${others}`;
}

function keysAt(schema: z.ZodType, path: Path): string[] {
  let at: unknown = schema;
  for (const part of path) {
    at = unwrap(at);
    at = typeof part === "number" && at instanceof z.ZodArray ? at.element : at;
    at = typeof part === "string" && at instanceof z.ZodObject ? at.shape[part] : at;
  }
  at = unwrap(at);
  return at instanceof z.ZodObject ? Object.keys(at.shape).filter((key) => key !== "$schema") : [];
}

function unwrap(schema: unknown): unknown {
  let at = schema;
  while (at instanceof z.ZodOptional || at instanceof z.ZodDefault || at instanceof z.ZodNullable) at = at.unwrap();
  return at instanceof z.ZodUnion ? (at.options.find((option) => option instanceof z.ZodObject) ?? at) : at;
}

function valueAt(value: unknown, path: Path): unknown {
  return path.reduce<unknown>(
    (at, part) => (typeof at === "object" && at !== null ? (at as Record<string | number, unknown>)[part] : undefined),
    value,
  );
}
