import { Distribution } from "./distribution.ts";
import { plainText } from "./duplicates.ts";
import { hashOf } from "./hash.ts";
import { lengthsOf } from "./lengths.ts";
import { marksOf } from "./marks.ts";
import { scriptOf } from "./scripts.ts";
import type { StatCell, StatTask } from "./stream.ts";

/** Why an answer may be wrong. None of these is a proof. */
export type Suspicion =
  /** It has less than a quarter of the characters that the middle answer of its condition has. */
  | "short"
  | "same as the input"
  | "same as the reference"
  /** At least three inputs got the same answer under its condition. */
  | "same for many inputs"
  /** Most answers of its condition are in another script. */
  | "other script"
  /** Words of a list that marks refusals, or an assistant's chatter. */
  | "refusal"
  | "chatter";

export interface Suspect {
  task: StatTask;
  cell: StatCell;
  reasons: Suspicion[];
}

const SHORT_PART = 1 / 4;
/** With fewer answers, a condition has no usual length or script. */
const FEWEST_ANSWERS = 10;
const FEWEST_INPUTS = 3;
/** The part of the answers that makes a script usual. */
const USUAL_PART = 0.8;

/** What is usual in a condition. */
class Usual {
  private readonly lengths = new Distribution();
  private readonly answers = new Distribution();
  private readonly scripts = new Map<string, number>();
  private found: { shortest: number; script: string | null } | null = null;

  add(response: string, isNew: boolean): void {
    this.lengths.add(lengthsOf(response).characters);
    if (isNew) this.answers.add(hashOf(plainText(response)));
    const script = scriptOf(response);
    if (script !== null) this.scripts.set(script, (this.scripts.get(script) ?? 0) + 1);
  }

  /** @returns the length below which an answer is short, and the script of most; known once all answers were added */
  get known(): { shortest: number; script: string | null } {
    return (this.found ??= this.compute());
  }

  inputsWith(response: string): number {
    return this.answers.countOf(hashOf(plainText(response)));
  }

  private compute(): { shortest: number; script: string | null } {
    if (this.lengths.size < FEWEST_ANSWERS) return { shortest: 0, script: null };
    const all = [...this.scripts.values()].reduce((sum, count) => sum + count, 0);
    const [most] = [...this.scripts].toSorted(([, one], [, other]) => other - one);
    const isUsual = most !== undefined && most[1] >= USUAL_PART * all;
    return { shortest: SHORT_PART * (this.lengths.quantile(0.5) ?? 0), script: isUsual ? most[0] : null };
  }
}

/** Finds answers to look at. All tasks are read twice: first to learn what is usual in each condition. */
export class SuspectFinder {
  private readonly usual = new Map<number, Usual>();

  learn({ cells }: StatTask): void {
    const seen = new Set<string>();
    for (const { condition, response } of cells) {
      if (response === null) continue;
      const usual = this.usual.get(condition) ?? new Usual();
      this.usual.set(condition, usual);
      // Replicates may have the same answer; inputs are counted.
      const own = `${condition} ${plainText(response)}`;
      usual.add(response, !seen.has(own));
      seen.add(own);
    }
  }

  *in(task: StatTask): Generator<Suspect> {
    const input = plainText(task.input);
    const reference = task.reference === null ? null : plainText(task.reference);
    for (const cell of task.cells) {
      const usual = this.usual.get(cell.condition);
      if (cell.response === null || usual === undefined) continue;
      const plain = plainText(cell.response);
      const script = scriptOf(cell.response);
      const reasons: Suspicion[] = [];
      if (lengthsOf(cell.response).characters < usual.known.shortest) reasons.push("short");
      if (plain === input) reasons.push("same as the input");
      if (plain === reference) reasons.push("same as the reference");
      if (usual.inputsWith(cell.response) >= FEWEST_INPUTS) reasons.push("same for many inputs");
      if (script !== null && usual.known.script !== null && script !== usual.known.script) reasons.push("other script");
      reasons.push(...marksOf(cell.response));
      if (reasons.length > 0) yield { task, cell, reasons };
    }
  }
}
