import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { AT, Comparison } from "../src/stats/comparison.ts";
import { bleuOf, chrfOf, chrfppOf, CORPUS_SUMS, corpusSums } from "../src/stats/scores.ts";

interface Rouge {
  f: number;
}

/** Scores that sacrebleu and rouge-score computed. */
interface Golden {
  pairs: {
    from: string;
    op: string;
    hypothesis: string;
    reference: string;
    sentence_bleu: number;
    chrf: number;
    chrfpp: number;
    rouge1: Rouge;
    rouge2: Rouge;
    rougeL: Rouge;
    set_rouge1_f: number;
  }[];
  corpus: { from: string; op: string; bleu: number; chrf: number; chrfpp: number; sys_len: number; ref_len: number }[];
}

const golden = JSON.parse(readFileSync(join(import.meta.dirname, "data/metrics_golden.json"), "utf8")) as Golden;

function figuresOf({ hypothesis, reference }: Golden["pairs"][number]): { figures: Float64Array; sums: Float64Array } {
  const figures = new Comparison(reference, reference).figuresOf(hypothesis);
  const sums = new Float64Array(CORPUS_SUMS);
  corpusSums(figures, sums);
  return { figures, sums };
}

describe("the scores against a reference", () => {
  test("BLEU, chrF and chrF++ of a sentence are sacreBLEU's to a millionth, ROUGE is rouge-score's to a billionth", () => {
    expect(golden.pairs).toHaveLength(622);
    const wrong = golden.pairs.flatMap((pair) => {
      const { figures, sums } = figuresOf(pair);
      const scores: [name: string, found: number, wanted: number, within: number][] = [
        ["BLEU", bleuOf(sums, true), pair.sentence_bleu, 1e-6],
        ["chrF", chrfOf(sums), pair.chrf, 1e-6],
        ["chrF++", chrfppOf(sums), pair.chrfpp, 1e-6],
        ["ROUGE-1", figures[AT.rouge1]!, pair.rouge1.f, 1e-9],
        ["ROUGE-2", figures[AT.rouge2]!, pair.rouge2.f, 1e-9],
        ["ROUGE-L", figures[AT.rougeL]!, pair.rougeL.f, 1e-9],
        ["set-based ROUGE-1", figures[AT.set_rouge1]!, pair.set_rouge1_f, 1e-9],
      ];
      return scores
        .filter(([, found, wanted, within]) => !(Math.abs(found - wanted) <= within))
        .map(([name, found, wanted]) => ({ name, found, wanted, of: pair.hypothesis, against: pair.reference }));
    });
    expect(wrong).toEqual([]);
  });

  test("those of a corpus are sacreBLEU's to a millionth", () => {
    const corpora = Map.groupBy(golden.pairs, ({ from, op }) => `${from} ${op}`);
    expect(corpora.size).toBe(32);
    for (const { from, op, ...wanted } of golden.corpus) {
      const sums = new Float64Array(CORPUS_SUMS);
      for (const pair of corpora.get(`${from} ${op}`)!)
        for (const [at, sum] of figuresOf(pair).sums.entries()) sums[at]! += sum;
      expect(bleuOf(sums), `BLEU of ${from} ${op}`).toBeCloseTo(wanted.bleu, 6);
      expect(chrfOf(sums), `chrF of ${from} ${op}`).toBeCloseTo(wanted.chrf, 6);
      expect(chrfppOf(sums), `chrF++ of ${from} ${op}`).toBeCloseTo(wanted.chrfpp, 6);
      expect([sums[8], sums[9]]).toEqual([wanted.sys_len, wanted.ref_len]);
    }
  });

  test("a text of a hundred thousand spaces or equal letters takes no quadratic time", () => {
    const texts = [`${" ".repeat(100_000)}a`, "a ".repeat(50_000), "a".repeat(100_000)];
    for (const text of texts) for (const other of texts) new Comparison(other, other).figuresOf(text);
  });
});
