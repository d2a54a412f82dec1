import { textColumns, USED_COLUMNS } from "../../export/row-columns.ts";
import type { Row } from "../../sources/source.ts";
import { ANSWER_COLUMNS } from "../../store/answer-columns.ts";

/** The most scores of a file. */
const MOST_SCORES = 100;
const LONGEST_NAME = 200;

/** The columns of datasets. */
const TAKEN = new Set<string>([...ANSWER_COLUMNS, USED_COLUMNS]);

/** Those of them that hold texts. */
const TEXTS = new Set<string>(textColumns());

const NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;

export interface ScoreReader {
  /** @returns the scores of a row by their names, or a problem without the place */
  read(row: Row): Map<string, number> | string;
  names(): string[];
  /** The columns that are no scores, because their first value is not a number. */
  ignored(): string[];
}

/**
 * Reads the scores of rows. The first value of a column says whether it is a score: a number, or not. Columns of datasets are
 * none, so that a dataset with more columns is a file of scores.
 * @param isText whether all values are texts, as in CSV
 */
export function scoreReader(isText: boolean): ScoreReader {
  const isScore = new Map<string, boolean>();
  const named = (wanted: boolean) => [...isScore].filter(([, is]) => is === wanted).map(([name]) => name);

  /** What is wrong with the name of a new score; null if nothing is. */
  function problemOf(name: string): string | null {
    const shown = JSON.stringify(name.slice(0, LONGEST_NAME));
    if (name === "" || name.length > LONGEST_NAME || /^\d+$|\p{Cc}/u.test(name) || !name.isWellFormed()) {
      return `has the score ${shown}; a name has 1 to ${LONGEST_NAME} characters, none of them a control character, and is no number`;
    }
    return named(true).length < MOST_SCORES
      ? null
      : `has the score ${shown}, but a file has at most ${MOST_SCORES} scores`;
  }

  return {
    read(row) {
      const scores = new Map<string, number>();
      for (const [name, value] of Object.entries(row)) {
        if (isMissing(value)) continue;
        if (TAKEN.has(name)) {
          if (typeof value !== "number" || !TEXTS.has(name)) continue;
          return `has a number in ${JSON.stringify(name)}, a column of datasets that holds texts; a score needs another name`;
        }
        const number = numberOf(value, isText);
        if (!isScore.has(name)) {
          const problem = number === null ? null : problemOf(name);
          if (problem !== null) return problem;
          isScore.set(name, number !== null);
        }
        if (isScore.get(name) !== true) continue;
        if (number === null) {
          return `has no number in ${JSON.stringify(name)}, which is a score: an earlier row has a number there`;
        }
        if (!Number.isFinite(number)) return `has a number in ${JSON.stringify(name)} that is not finite`;
        scores.set(name, number);
      }
      return scores;
    },
    names: () => named(true),
    ignored: () => named(false),
  };
}

/** Data frames write NaN for a value that is not there. */
export function isMissing(value: unknown): boolean {
  return (
    value === null ||
    value === undefined ||
    value === "" ||
    Number.isNaN(value) ||
    (typeof value === "string" && /^nan$/i.test(value))
  );
}

function numberOf(value: unknown, isText: boolean): number | null {
  if (typeof value === "number" || typeof value === "bigint") return Number(value);
  return isText && typeof value === "string" && NUMBER.test(value.trim()) ? Number(value) : null;
}
