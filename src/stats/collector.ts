import type { InputGroups } from "./bootstrap.ts";
import { Comparison, WITH_REFERENCE, WITHOUT_REFERENCE } from "./comparison.ts";
import { hashOf, mixed } from "./hash.ts";
import { lengthsOf } from "./lengths.ts";
import type { Part } from "./parts.ts";
import type { Sample } from "./sample.ts";
import { agreement, Similarity } from "./similarity.ts";
import type { KnownFigures, StatCell, StatTask } from "./stream.ts";
import { type StoredTally, Tally } from "./tally.ts";

/** How many replicates of a cell are compared with each other. */
const MOST_REPLICATES = 5;

export interface CollectorOptions {
  conditions: number;
  groups: InputGroups;
  /** The inputs whose answers are compared with other answers of their condition. */
  sample: Sample;
  /** Those for which conditions are compared with each other. */
  similar: Sample;
  known: KnownFigures;
  parts: ReadonlySet<Part>;
}

/** Reads the tasks of a run once, in their order, and keeps what its figures need. */
export class Collector {
  readonly tallies: readonly Tally[];
  readonly similarity: Similarity;
  private readonly options: CollectorOptions;

  constructor(options: CollectorOptions) {
    this.options = options;
    this.tallies = Array.from({ length: options.conditions }, () => new Tally(options.groups.count));
    this.similarity = new Similarity(options.conditions);
  }

  /** What was collected, piece by piece, for {@link restore}. */
  *stored(): Generator {
    yield this.similarity.stored;
    for (const tally of this.tallies) yield tally.stored;
  }

  /**
   * Continues from what another collector of the same run and options has stored. It must be new.
   * @returns false if pieces are missing, or are something else; then it cannot be used
   */
  restore(pieces: Iterator<unknown>): boolean {
    try {
      for (const part of [this.similarity, ...this.tallies]) {
        const piece = pieces.next();
        if (piece.done === true) return false;
        part.restore(piece.value as Float64Array & StoredTally);
      }
      return true;
    } catch {
      // What is in a file beside the database may have any form.
      return false;
    }
  }

  add(task: StatTask): void {
    const { groups, sample, similar, parts } = this.options;
    const input = hashOf(task.input);
    const group = groups.of(input);
    const inputWords = parts.has("lengths") ? lengthsOf(task.input).words : 0;
    const isSampled = sample.has(input);
    for (const cell of task.cells) {
      const tally = this.tallies[cell.condition];
      if (tally === undefined) continue;
      tally.count(cell);
      if (cell.response === null) continue;
      if (parts.has("lengths")) tally.measure(group, lengthsOf(cell.response), cell.tokens, inputWords);
      if (isSampled && cell.answerId !== null)
        tally.addToSample({ answerId: cell.answerId, group, position: task.position, replicate: cell.replicate });
    }
    if (parts.has("comparisons")) this.compare(task, input, group);
    if (parts.has("similarity") && similar.has(input)) this.similarity.add(firstAnswers(task.cells));
    if (parts.has("replicates") && isSampled) this.addReplicates(task.cells, group);
  }

  /** Compares the answers to a task with its input and reference, unless their figures are known. */
  private compare(task: StatTask, input: number, group: number): void {
    const { known } = this.options;
    const comparison = new Comparison(task.input, task.reference);
    const pair = mixed(input, task.reference === null ? 0 : hashOf(task.reference, 1));
    const size = task.reference === null ? WITHOUT_REFERENCE : WITH_REFERENCE;
    const answers = known.of(pair, size);
    const before = answers.size;
    for (const { condition, response } of task.cells) {
      if (response === null) continue;
      const key = hashOf(response, 2);
      const figures = answers.get(key) ?? comparison.figuresOf(response);
      answers.set(key, figures);
      this.tallies[condition]?.compare(group, figures);
    }
    if (answers.size > before) known.keep(pair, size, answers);
  }

  private addReplicates(cells: readonly StatCell[], group: number): void {
    const byCondition = Map.groupBy(
      cells.filter(({ response }) => response !== null),
      ({ condition }) => condition,
    );
    for (const [condition, replicates] of byCondition) {
      const texts = replicates.slice(0, MOST_REPLICATES).map(({ response }) => response ?? "");
      const value = agreement(texts);
      if (value === null) continue;
      this.tallies[condition]?.addTo("replicate_agreement", group, value);
      this.tallies[condition]?.addTo("replicate_agreement n", group, 1);
    }
  }
}

/** The first replicate of each condition, if it has an answer. */
function firstAnswers(cells: readonly StatCell[]): Map<number, string> {
  const found = new Map<number, string>();
  for (const { condition, replicate, response } of cells) {
    if (replicate === 1 && response !== null) found.set(condition, response);
  }
  return found;
}
