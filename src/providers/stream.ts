import { asObject, type Json, parseJson } from "./json.ts";

/*
 * Reads answers that a server streams without being asked to: server-sent events, or a JSON object on each line.
 */

/** A text with more lines is not a streamed answer. */
const MOST_LINES = 500_000;

/** A streamed answer in the shape of one that was not streamed; undefined if the text is not a stream. */
export function readStream(text: string): Json | undefined {
  const answer = createAnswer();
  for (const event of eventsOf(text)) {
    if (!answer.add(event)) return undefined;
  }
  return answer.result();
}

interface StreamEvent {
  name: string;
  data: string;
}

/** Line breaks in streams of events. */
const LINE_BREAK = /\r\n|\n|\r/g;

/** The events of a text. A line of JSON is an event, too. For any other line, yields an event without data. */
function* eventsOf(text: string): Generator<StreamEvent> {
  let name = "";
  let data: string[] = [];
  for (const line of linesOf(text)) {
    const field = /^(data|event|id|retry)?: ?/.exec(line);
    if (field?.[1] === "data") data.push(line.slice(field[0].length));
    else if (field?.[1] === "event") name = line.slice(field[0].length);
    else if (line.trim() === "") {
      yield* complete(name, data);
      name = "";
      data = [];
    } else if (!field) yield { name: "", data: /^\s*\{/.test(line) ? line : "" };
  }
  // The last event may lack its blank line.
  yield* complete(name, data);
}

/** One event, or one for each line of its data: some servers leave out the blank lines between events. */
function* complete(name: string, data: readonly string[]): Generator<StreamEvent> {
  if (data.length === 0) return;
  const joined = data.join("\n");
  const isOne = data.length === 1 || parseJson(joined) !== undefined;
  for (const text of isOne ? [joined] : data) yield { name, data: text };
}

function* linesOf(text: string): Generator<string> {
  let lines = 0;
  let start = text.startsWith("\uFEFF") ? 1 : 0;
  for (const { index, 0: found } of text.matchAll(LINE_BREAK)) {
    yield text.slice(start, index);
    start = index + found.length;
    lines += 1;
    if (lines === MOST_LINES) return;
  }
  yield text.slice(start);
}

const DONE = "[DONE]";

/** Puts the chunks of a stream together. */
function createAnswer() {
  const whole: Json = {};
  const choice: Json = {};
  const pieces: unknown[] = [];
  let refusal = "";
  let events = 0;
  let hasChoice = false;
  let isDone = false;

  /** @returns whether it was an event of such a stream */
  function add({ name, data }: StreamEvent): boolean {
    if (data.trim() === DONE) {
      isDone = true;
      return true;
    }
    const chunk = asObject(parseJson(data));
    if (!chunk) return false;
    events += 1;
    if (name === "error" && !chunk["error"]) whole["error"] = chunk;
    for (const member of ["id", "model", "usage", "error"]) {
      if (chunk[member] !== undefined && chunk[member] !== null) whole[member] = chunk[member];
    }
    const choices = Array.isArray(chunk["choices"]) ? (chunk["choices"] as unknown[]) : [];
    for (const one of choices) addChoice(asObject(one) ?? {});
    return true;
  }

  function addChoice(part: Json): void {
    // Only one answer was asked for; skip parts of other choices.
    if (part["index"] !== undefined && part["index"] !== 0) return;
    hasChoice = true;
    const message = asObject(part["message"]);
    // A message repeats the whole text.
    if (message) pieces.length = 0;
    const delta = message ?? asObject(part["delta"]);
    const content = delta ? delta["content"] : part["text"];
    if (typeof content === "string") pieces.push(content);
    // Push one at a time: a function call takes a limited number of arguments.
    if (Array.isArray(content)) for (const piece of content as unknown[]) pieces.push(piece);
    if (typeof delta?.["refusal"] === "string") refusal += delta["refusal"];
    for (const member of ["finish_reason", "error"]) {
      if (part[member] !== undefined && part[member] !== null) choice[member] = part[member];
    }
  }

  function result(): Json | undefined {
    if (events === 0) return undefined;
    if (!hasChoice) return whole;
    const isCutOff = !isDone && choice["finish_reason"] === undefined && whole["error"] === undefined;
    return {
      ...whole,
      ...(isCutOff && { error: { message: "the stream ended before the end of the answer" } }),
      choices: [{ ...choice, message: { content: pieces, refusal } }],
    };
  }

  return { add, result };
}
