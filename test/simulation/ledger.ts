import type { Prompt } from "../../src/models/prompt.ts";
import { promptText } from "../../src/models/prompt.ts";

/** What a request asks for, read off its prompt. */
export interface Cell {
  input: number;
  perspective: number;
  step: "reading" | "strategy";
  /** The version of the notes that a strategy works on; null where it works on the input. */
  notes: number | null;
}

/** One request that reached the provider. */
export interface Entry {
  cell: Cell;
  /** Stands in the answer, so that it is known wherever it turns up. */
  version: number;
  /** Which execution of the run has sent it. */
  execution: number;
  /** In billionths of a US dollar; 0 where the provider did not charge it. */
  costNanoUsd: number;
  state: "in_flight" | "answered" | "failed" | "abandoned";
  /** The virtual time at which the answer came back. */
  answeredAt: number;
}

/** What the provider has been asked and has charged. It is not the run's: it outlives every crash. */
export class Ledger {
  readonly entries: Entry[] = [];

  open(cell: Cell, execution: number): Entry {
    const entry: Entry = {
      cell,
      version: this.entries.length + 1,
      execution,
      costNanoUsd: 0,
      state: "in_flight",
      answeredAt: 0,
    };
    this.entries.push(entry);
    return entry;
  }

  inFlight(): Entry[] {
    return this.entries.filter(({ state }) => state === "in_flight");
  }

  get costNanoUsd(): number {
    return this.entries.reduce((sum, { costNanoUsd }) => sum + costNanoUsd, 0);
  }

  /** Requests in flight are of a process that is gone. What becomes of them, nobody hears. */
  abandon(): void {
    for (const entry of this.inFlight()) entry.state = "abandoned";
  }
}

export function inputText(input: number): string {
  return `INPUT ${input} is a text of its own, and there is no other like it.`;
}

export function instructionOf(step: Cell["step"], perspective: number): string {
  return `${step === "reading" ? "READ" : "WRITE"} as perspective ${perspective}.`;
}

export function cellOf(prompt: Pick<Prompt, "messages">): Cell {
  const text = promptText(prompt);
  const [, verb, perspective] = /(READ|WRITE) as perspective (\d+)\./.exec(text) ?? [];
  const [, input] = /INPUT (\d+)/.exec(text) ?? [];
  const [, notes] = /NOTES v(\d+)/.exec(text) ?? [];
  if (verb === undefined || input === undefined) throw new Error(`a prompt of no cell: ${text}`);
  return {
    input: Number(input),
    perspective: Number(perspective),
    step: verb === "READ" ? "reading" : "strategy",
    notes: notes === undefined ? null : Number(notes),
  };
}

/** The answer to a request: it says itself what it answers. */
export function answerText({ cell, version }: Pick<Entry, "cell" | "version">): string {
  const { input, perspective, step, notes } = cell;
  return step === "reading"
    ? `NOTES v${version} on INPUT ${input} for perspective ${perspective}`
    : `RESPONSE v${version} on INPUT ${input} for perspective ${perspective}, from notes ${notes ?? "none"}`;
}

/** Whether two requests are for the same call, or for two samples of it. */
export function isSameCell(one: Cell, other: Cell): boolean {
  return one.input === other.input && one.perspective === other.perspective && one.step === other.step;
}
