import type { Range } from "./range.ts";

/** An earlier answer. */
export interface Observation {
  /** The id of the input. */
  input: number;
  /** The tokens of the text that it works on. */
  text: number;
  /** Its own tokens. */
  tokens: number;
  /** The token limit that cut it off; null if it was not cut off. */
  cutAt: number | null;
}

/** The length of answers by the text that they work on: `intercept + slope · text` tokens. */
export interface Lengths {
  intercept: number;
  slope: number;
  /** Longer texts are treated like texts of this length, because nothing is known about answers to them. */
  longestText: number;
  /** The standard deviation of the answers from that line, divided by their mean. */
  deviation: number;
  /** The most tokens of an answer; null without a limit. */
  limit: number | null;
}

/** A slope needs this many points, and it must be this many standard errors from 0. */
const LEAST_POINTS = 5;
const LEAST_T = 3;

/** The usual spread of the growth of similar steps. */
const USUAL_SPREAD = 0.25;

/** How far a slope may be extended, as a multiple of the longest known text. */
const REACH = 4;

/** The deviation that is assumed if there are too few answers. */
const USUAL_DEVIATION = 0.5;
const LEAST_FOR_DEVIATION = 3;

/**
 * How long answers are that are asked for under a limit: as the mean of earlier answers, or, where they clearly grow
 * with their texts, on a line through them. An answer that a lower limit has cut off says "at least": it is taken to be
 * longer in proportion to the share of answers that were cut off.
 */
export function fitLengths(
  observations: readonly Observation[],
  {
    limit,
    mayGrow,
    growth,
  }: {
    limit: number | null;
    /** Whether the texts are of the kind of those to come, so that a line is of use. */
    mayGrow: boolean;
    /** Of all steps of this kind, as {@link fitGrowth} says. */
    growth: number;
  },
): Lengths {
  const most = limit ?? Number.POSITIVE_INFINITY;
  const isShort = ({ cutAt }: Observation) => cutAt !== null && cutAt < most;
  const cutShare = observations.filter(isShort).length / observations.length;
  const points = observations.map((answer) => ({
    x: answer.text,
    y: Math.min(most, isShort(answer) ? answer.tokens * (1 + cutShare) : answer.tokens),
  }));
  const line = fitLine(points);
  const { meanX, meanY } = line;
  const slope = mayGrow && meanX > 0 && meanY > 0 ? (growthOf(line, growth) * meanY) / meanX : 0;
  const squares = points.reduce((sum, { x, y }) => sum + (y - meanY - slope * (x - meanX)) ** 2, 0);
  const deviation = meanY > 0 ? Math.sqrt(squares / Math.max(1, points.length - 1)) / meanY : 0;
  return {
    intercept: meanY - slope * meanX,
    slope,
    longestText: REACH * Math.max(...points.map(({ x }) => x)),
    deviation: points.length < LEAST_FOR_DEVIATION ? USUAL_DEVIATION : deviation,
    limit,
  };
}

/**
 * The growth of answers with their texts over several steps: by how much, in proportion, answers are longer than their
 * step's mean, on texts that are longer, in proportion, than their step's mean. 1: as long as that; 0: not surely longer.
 * Many steps together show it where each has few answers. Those to one input are not independent: their mean is taken.
 */
export function fitGrowth(steps: readonly (readonly Observation[])[]): number {
  const inputs = new Map<number, { x: number; y: number; steps: number }>();
  for (const observations of steps) {
    const meanX = mean(observations.map(({ text }) => text));
    const meanY = mean(observations.map(({ tokens }) => tokens));
    if (meanX === 0 || meanY === 0) continue;
    for (const { input, text, tokens } of observations) {
      const sums = inputs.get(input) ?? { x: 0, y: 0, steps: 0 };
      inputs.set(input, { x: sums.x + text / meanX, y: sums.y + tokens / meanY, steps: sums.steps + 1 });
    }
  }
  const line = fitLine([...inputs.values()].map((sums) => ({ x: sums.x / sums.steps, y: sums.y / sums.steps })));
  return growthOf(line, 0);
}

/**
 * The growth that a line shows. Where there is one of all steps, it is between that and the line's own: nearer to its
 * own the surer that is. Else its own where that is sure.
 */
function growthOf({ meanX, meanY, slope, error }: Line, ofAll: number): number {
  const scale = meanY > 0 ? meanX / meanY : 0;
  const [own, ownError] = [slope * scale, error * scale];
  if (ofAll === 0) return own > 0 && own >= LEAST_T * ownError ? own : 0;
  const weight = USUAL_SPREAD ** 2 / (USUAL_SPREAD ** 2 + ownError ** 2);
  return Math.max(0, ofAll + (own - ofAll) * weight);
}

interface Line {
  meanX: number;
  meanY: number;
  slope: number;
  /** The standard error of the slope. */
  error: number;
}

/** Least squares. */
function fitLine(points: readonly { x: number; y: number }[]): Line {
  const meanX = mean(points.map(({ x }) => x));
  const meanY = mean(points.map(({ y }) => y));
  let [xx, xy, yy] = [0, 0, 0];
  for (const { x, y } of points) {
    xx += (x - meanX) ** 2;
    xy += (x - meanX) * (y - meanY);
    yy += (y - meanY) ** 2;
  }
  if (points.length < LEAST_POINTS || xx === 0) return { meanX, meanY, slope: 0, error: Number.POSITIVE_INFINITY };
  const slope = xy / xx;
  const error = Math.sqrt(Math.max(0, yy - slope * xy) / (points.length - 2) / xx);
  return { meanX, meanY, slope, error };
}

/** The expected tokens of the answer to a text. */
export function lengthFor({ intercept, slope, longestText, limit }: Lengths, text: number): number {
  const tokens = Math.max(1, intercept + slope * Math.min(text, longestText));
  return limit === null ? tokens : Math.min(limit, tokens);
}

/** Without earlier calls, an answer is assumed to be as long as its text, but at most half of the limit. */
const ASSUMED_MOST = { expected: 500, high: 4_096 };
const ASSUMED_LEAST = 20;
/** The assumed reasoning tokens of a reasoning model. */
const ASSUMED_REASONING = 500;

/** The tokens of the answer to a text, without earlier calls: a wide range up to the limit. */
export function assumedLength(text: number, limit: number | null, isReasoning: boolean): Range {
  const high = limit ?? ASSUMED_MOST.high;
  const likely = Math.max(ASSUMED_LEAST, Math.min(text, limit === null ? ASSUMED_MOST.expected : limit / 2));
  const expected = Math.min(high, likely + (isReasoning ? ASSUMED_REASONING : 0));
  return { low: Math.min(ASSUMED_LEAST, expected), expected, high };
}

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}
