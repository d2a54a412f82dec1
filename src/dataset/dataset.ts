import { errorMessage, UsageError } from "../errors.ts";
import { excessOf, type FileWords, openTextFile } from "../files/text-file.ts";
import { AN_ID, isId } from "../sources/ids.ts";
import { isTooDeep, TOO_DEEP } from "../files/depth.ts";
import { keysOf, kindOf, MOST_BAD_ROWS } from "../files/found.ts";
import { type Piece, piecesOf, repeatedKey } from "./pieces.ts";

/** A dataset file without its tasks. */
export interface DatasetHead {
  /** The members of its object by name; `tasks` is one of them only if it is not an array. */
  members: Record<string, unknown>;
  tasks: number;
  /** The SHA-256 of the file's bytes, in hex. */
  sha256: string;
}

/** A task of a dataset; the lists are in the order of its perspectives. */
export interface DatasetTask {
  /** The id that the input had in its file; null if it had none. */
  id: string | number | null;
  context: string;
  /** Null if the file has none here; it may have it as the response of a first perspective. */
  reference: string | null;
  /** The values of the other columns that prompts use, by their names. */
  columns: Record<string, unknown>;
  responses: (string | null)[];
  preparations: (string | null)[];
}

const WORDS: FileWords = {
  name: "dataset",
  missing: "Check the path; it is relative to the current folder.",
  irregular: "Name a file that holds a dataset.",
};

const TASKS = "tasks";
const MEMBERS = ["context", "responses", "preparations"];
/** The members that a task may have besides. */
const OPTIONAL_MEMBERS = ["id", "reference", "columns"];

/**
 * Reads a dataset file except for its tasks, which it only counts. The members may have any order.
 * @throws UsageError when the file is not a JSON object, or a member of it cannot be read
 */
export async function readHead(path: string): Promise<DatasetHead> {
  const members = new Map<string, unknown>();
  let tasks = 0;
  const file = await openTextFile(path, WORDS, () => placeBehind(tasks));
  try {
    for await (const piece of piecesOf(file.text, path, TASKS)) {
      if (piece.index !== null) {
        tasks = piece.index + 1;
        continue;
      }
      const [name, value] = memberOf(piece, path);
      if (members.has(name)) throw new UsageError(`${path}, line ${piece.line}: the key "${name}" occurs twice`);
      members.set(name, value);
    }
    return { members: Object.fromEntries(members), tasks, sha256: await file.sha256() };
  } finally {
    file.close();
  }
}

/**
 * The tasks of a dataset file, as a stream; returns the SHA-256 of the file's bytes, in hex.
 * @param perspectives all perspectives of the file, the reference included
 * @throws UsageError that names the invalid tasks, up to {@link MOST_BAD_ROWS} of them
 */
export async function* readTasks(
  path: string,
  perspectives: readonly { reading: string | null }[],
): AsyncGenerator<DatasetTask, string> {
  const bad: string[] = [];
  let tasks = 0;
  const file = await openTextFile(path, WORDS, () => placeBehind(tasks));
  try {
    for await (const piece of piecesOf(file.text, path, TASKS)) {
      if (piece.index === null) continue;
      tasks = piece.index + 1;
      const task = toTask(piece, perspectives);
      if (typeof task === "string") bad.push(task);
      else if (bad.length === 0) yield task;
      if (bad.length === MOST_BAD_ROWS) break;
    }
    if (bad.length > 0) throw badTasks(path, bad);
    return await file.sha256();
  } finally {
    file.close();
  }
}

/** The place in the file after so many tasks, for an error. */
function placeBehind(tasks: number): string {
  return tasks === 0 ? "before the end of tasks[0]" : `after tasks[${tasks - 1}]`;
}

function memberOf({ text, line }: Piece, path: string): [name: string, value: unknown] {
  try {
    const [member] = Object.entries(JSON.parse(`{${text}}`) as Record<string, unknown>);
    if (member) return member;
    throw new SyntaxError("there is no value");
  } catch (error) {
    throw new UsageError(`${path} is not valid JSON, in the member that begins on line ${line}: ${reasonOf(error)}`);
  }
}

/** A parser's message without its position, which counts within a piece. */
function reasonOf(error: unknown): string {
  return errorMessage(error).replace(/ in JSON at position \d+( \(line \d+ column \d+\))?/, "");
}

/** A task, or the problem of it. */
function toTask(
  { text, line, index }: Piece,
  perspectives: readonly { reading: string | null }[],
): DatasetTask | string {
  const at = (member: string, problem: string) => `${TASKS}[${index}]${member} (line ${line})${problem}`;
  let task: unknown;
  try {
    task = JSON.parse(text);
  } catch (error) {
    return at("", ` is not valid JSON: ${text.trim() === "" ? "there is no value" : reasonOf(error)}`);
  }
  if (typeof task !== "object" || task === null || Array.isArray(task)) {
    return at("", `: expected an object {${MEMBERS.join(", ")}}, found ${kindOf(task)}`);
  }
  const other = Object.keys(task).find((name) => !MEMBERS.includes(name) && !OPTIONAL_MEMBERS.includes(name));
  if (other !== undefined)
    return at("", `: unknown key "${other}"; the keys here are ${[...MEMBERS, ...OPTIONAL_MEMBERS].join(", ")}`);
  const missing = MEMBERS.find((name) => !(name in task));
  if (missing !== undefined) return at("", ` has no "${missing}"; it has ${keysOf(task)}`);
  const { id = null, context, reference = null, columns = {}, ...lists } = task as Record<string, unknown>;
  if (id !== null && !isId(id)) return at(".id", `: expected ${AN_ID}, found ${kindOf(id)}`);
  if (reference !== null && typeof reference !== "string") {
    return at(".reference", `: expected a string or null, found ${kindOf(reference)}`);
  }
  if (typeof columns !== "object" || columns === null || Array.isArray(columns)) {
    return at(".columns", `: expected an object, found ${kindOf(columns)}`);
  }
  if (isTooDeep(columns)) return at(".columns", `: ${TOO_DEEP}`);
  if (typeof context !== "string") return at(".context", `: expected a string, found ${kindOf(context)}`);
  for (const [name, list] of Object.entries(lists)) {
    if (!Array.isArray(list)) return at(`.${name}`, `: expected an array, found ${kindOf(list)}`);
    const [wanted, found] = [perspectives.length, list.length];
    if (found !== wanted) {
      return at(`.${name}`, `: expected ${wanted}, one for each of agent_perspectives, found ${found}`);
    }
    const wrong = list.findIndex((value) => value !== null && typeof value !== "string");
    if (wrong !== -1) return at(`.${name}[${wrong}]`, `: expected a string or null, found ${kindOf(list[wrong])}`);
  }
  const twice = repeatedKey(text, [...MEMBERS, ...OPTIONAL_MEMBERS]);
  if (twice !== null) return at("", ` has the key "${twice}" twice`);
  const excess = excessOf(context);
  if (excess !== null) return at(".context", ` has ${excess}`);
  const fitting = { id, context, reference, columns, ...lists } as DatasetTask;
  const needless = fitting.preparations.findIndex(
    (notes, position) => notes && perspectives[position]?.reading === null,
  );
  if (needless === -1) return fitting;
  return at(`.preparations[${needless}]`, `: expected null, because agent_perspectives[${needless}] has no reading`);
}

function badTasks(path: string, bad: string[]): UsageError {
  const more = bad.length === MOST_BAD_ROWS ? "\n  (the tasks after these were not checked)" : "";
  const count = bad.length === 1 ? "1 bad task" : `${bad.length} bad tasks`;
  return new UsageError(
    `${path} has ${count}:\n${bad.map((text) => `  ${text}`).join("\n")}${more}`,
    "Nothing was imported. docs/datasets.md shows what a dataset holds.",
  );
}
