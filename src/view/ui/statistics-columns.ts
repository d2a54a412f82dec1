import type { Figures } from "../rows.ts";
import { duration, money, number } from "./number.ts";
import { visible } from "./text.tsx";

/** A condition or a kind with its figures. */
export type Group = Figures["conditions"][number];

/** One figure of one group, as it is shown. */
export interface Shown {
  value: number | null;
  text: string;
  /** Its interval, or the standard deviation of its mean. */
  small: string | null;
  signature: string | null;
}

export interface Column {
  key: string;
  name: string;
  definition: string;
  of: (group: Group, signatures: Readonly<Record<string, string>>) => Shown;
}

export function nameOf({ condition, kind }: Group): string {
  return condition ?? kind ?? "";
}

const NONE = "–";

/** A value that is counted, without an interval. */
function plain(
  key: string,
  name: string,
  definition: string,
  of: (group: Group) => number | null,
  say: (value: number) => string = number,
  signature: string | null = null,
): Column {
  return {
    key,
    name,
    definition,
    of(group, signatures) {
      const value = of(group);
      const text = value === null ? NONE : say(value);
      return { value, text, small: null, signature: (signature && signatures[signature]) ?? null };
    },
  };
}

/** The mean of a length. */
function spread(key: "characters" | "words" | "sentences" | "tokens", name: string, definition: string): Column {
  return {
    key,
    name,
    definition: `${definition} The mean, with the standard deviation.`,
    of: (group, signatures) => shownMean(group[key], 1, signatures[key]),
  };
}

/** A mean with its standard deviation. */
function shownMean(
  { mean, sd }: { mean: number | null; sd: number | null },
  digits: number,
  signature?: string,
): Shown {
  return {
    value: mean,
    text: mean === null ? NONE : fixed(mean, digits),
    small: sd === null ? null : `sd ${fixed(sd, digits)}`,
    signature: signature ?? null,
  };
}

type FigureKey = {
  [Key in keyof Group]-?: Exclude<Group[Key], null | undefined> extends { value: number } ? Key : never;
}[keyof Group];

/** A figure with its interval. */
function figure(key: FigureKey, name: string, digits: number, definition: string): Column {
  return {
    key,
    name,
    definition,
    of(group) {
      const found = group[key];
      if (found === null) return { value: null, text: NONE, small: null, signature: null };
      const { value, low, high, signature } = found;
      const small = low === null || high === null ? null : `${fixed(low, digits)}–${fixed(high, digits)}`;
      return { value, text: fixed(value, digits), small, signature };
    },
  };
}

export function fixed(value: number, digits: number): string {
  const text = value.toLocaleString("en-US", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  return text.replace("-", "−");
}

const failedOf = ({ failed }: Group) => Object.values(failed).reduce((sum, count) => sum + count, 0);
const SAME = "the same words in the same order";
const NEAR = "a Jaccard similarity of at least 0.8 of the sets of 5-word shingles (MinHash; every pair is checked)";
const AS_SACREBLEU = "from 0 to 100, over all answers together, as sacreBLEU has it.";
const AS_ROUGE = "the mean F1 from 0 to 1, as rouge-score has it without its stemmer.";

const COLUMNS: readonly Column[] = [
  plain("answered", "Answered", "Cells that have an answer.", ({ n }) => n),
  plain("failed", "Failed", "Cells without an answer, without those that are pending.", failedOf),
  plain("cut", "Cut", "Answers that the token limit cut off.", ({ truncated }) => truncated),
  plain("reused", "Reused", "Answers of earlier calls.", ({ reused }) => reused),
  plain(
    "median",
    "Median latency",
    "How long the live requests took that gave an answer and its notes: half took less.",
    ({ latency_ms: latency }) => latency.median,
    duration,
    "latency_ms",
  ),
  plain(
    "p95",
    "95% latency",
    "How long the live requests took that gave an answer and its notes: 95% took less.",
    ({ latency_ms: latency }) => latency.p95,
    duration,
    "latency_ms",
  ),
  plain(
    "cost",
    "Cost",
    "All requests of this run for these cells, failed ones and notes included.",
    ({ cost_usd: cost }) => cost,
    money,
  ),
  spread("characters", "Characters", "Unicode code points of an answer."),
  spread("words", "Words", "Parts of an answer between white space."),
  spread("sentences", "Sentences", "A sentence ends at . ! ? or … before white space, and at the end of a line."),
  spread("tokens", "Tokens", "Completion tokens of an answer as the provider counted them, without reasoning."),
  figure("compression_ratio", "Compression", 2, "Mean words of the inputs, divided by mean words of the answers."),
  figure(
    "redundancy",
    "Redundancy",
    2,
    "Bytes of all answers, divided by those that gzip makes of them. Higher: more repetition.",
  ),
  figure("distinct1", "Distinct-1", 3, "Different words, divided by all words. Lower: more repetition."),
  figure("distinct2", "Distinct-2", 3, "Different pairs of words, divided by all pairs. Lower: more repetition."),
  figure(
    "self_repetition",
    "Self-repetition",
    3,
    "The share of 4-grams that another answer has, too. Near 1: a template.",
  ),
  figure(
    "self_bleu",
    "Self-BLEU",
    1,
    "The mean BLEU of an answer against the others, from 0 to 100. Higher: more alike.",
  ),
  plain(
    "within",
    "Duplicates",
    `Answers that have ${SAME} as another one here.`,
    (group) => group.duplicates.within,
    number,
    "duplicates",
  ),
  plain(
    "near",
    "Near duplicates",
    `Answers that are like another one here: ${NEAR}.`,
    (group) => group.duplicates.near_within,
    number,
    "duplicates",
  ),
  plain(
    "between",
    "Elsewhere",
    `Answers that have ${SAME} as one of another row.`,
    (group) => group.duplicates.between,
    number,
    "duplicates",
  ),
  figure(
    "replicate_agreement",
    "Agreement",
    1,
    "The mean chrF of the replicates of a cell against each other. 100: sampling changed nothing.",
  ),
  figure("coverage", "Coverage", 2, "The share of the words that stand in fragments of the input. Near 1: a copy."),
  figure(
    "density",
    "Density",
    2,
    "The mean length of the fragment of the input that a word stands in. Higher: longer copies.",
  ),
  figure("novel2", "Novel-2", 2, "The share of pairs of words that the input does not have."),
  figure("novel3", "Novel-3", 2, "The share of 3-grams that the input does not have."),
  figure("bleu", "BLEU", 1, `BLEU against the reference, ${AS_SACREBLEU}`),
  figure("chrf", "chrF", 1, `chrF2 against the reference, ${AS_SACREBLEU}`),
  figure("chrfpp", "chrF++", 1, `chrF2++ against the reference, ${AS_SACREBLEU}`),
  figure("rouge1", "ROUGE-1", 3, `Words that answer and reference share: ${AS_ROUGE}`),
  figure("rouge2", "ROUGE-2", 3, `Pairs of words that answer and reference share: ${AS_ROUGE}`),
  figure("rougeL", "ROUGE-L", 3, `The longest common subsequence of answer and reference: ${AS_ROUGE}`),
  figure(
    "set_rouge1",
    "Set ROUGE-1",
    3,
    "The mean F1 of the sets of words of answer and reference, in lower case, between white space.",
  ),
];

export function columnOf(key: string | null): Column | undefined {
  return COLUMNS.find((column) => column.key === key);
}

/** Columns that are shown together. */
export interface ColumnGroup {
  key: string;
  name: string;
  columns: readonly Column[];
}

/** How many scores are shown. */
const MOST_SCORES = 20;

/** The groups of columns for a run. */
export function columnGroups(groups: readonly Group[]): ColumnGroup[] {
  const names = [...new Set(groups.flatMap(({ scores = {} }) => Object.keys(scores)))].slice(0, MOST_SCORES);
  return names.length === 0 ? [...GROUPS] : [...GROUPS, { key: "scores", name: "Scores", columns: names.map(score) }];
}

/** The mean of a score that was imported. */
function score(name: string): Column {
  return {
    key: `score ${name}`,
    name: visible(name),
    definition: "The mean of a score that was imported, with the standard deviation.",
    of: ({ scores = {} }) => shownMean(scores[name] ?? { mean: null, sd: null }, 3),
  };
}

/** What can be shown at once. */
const GROUPS: readonly ColumnGroup[] = [
  {
    key: "overview",
    name: "Overview",
    columns: keyed("answered failed cut words compression_ratio distinct2 self_bleu within chrf rougeL"),
  },
  { key: "counts", name: "Counts", columns: keyed("answered failed cut reused median p95 cost") },
  { key: "lengths", name: "Lengths", columns: keyed("characters words sentences tokens compression_ratio") },
  {
    key: "variety",
    name: "Variety",
    columns: keyed("redundancy distinct1 distinct2 self_repetition self_bleu within near between replicate_agreement"),
  },
  { key: "copies", name: "Copies of the input", columns: keyed("coverage density novel2 novel3") },
  {
    key: "overlap",
    name: "Overlap with the reference",
    columns: keyed("bleu chrf chrfpp rouge1 rouge2 rougeL set_rouge1"),
  },
];

function keyed(keys: string): Column[] {
  return keys.split(" ").flatMap((key) => columnOf(key) ?? []);
}
