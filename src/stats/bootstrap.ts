import { hashOf, randoms } from "./hash.ts";

/** The seed of everything that is drawn: groups, samples and the bootstrap. */
export const SEED = 1;
/** How often the inputs are drawn. */
export const DRAWS = 1_000;
const CONFIDENCE = 0.95;

/** Above this number of inputs, inputs are drawn in groups. */
const MOST_INPUTS = 2_000;
const HASHED_GROUPS = 1_000;
/** The most sums of a figure that are kept: of each group of inputs and each condition. */
const MOST_SUMS = 100_000;
const FEWEST_GROUPS = 20;

/**
 * Puts inputs into the groups that are drawn. Answers to one input are not independent, so an input is drawn with all its
 * answers. With many inputs, each group has those whose hash is the same.
 */
export class InputGroups {
  /** How many groups there are. */
  readonly count: number;
  readonly isHashed: boolean;
  private readonly known = new Map<number, number>();

  /** @param inputs how many there are at most */
  constructor(inputs: number, conditions: number) {
    const most = Math.max(FEWEST_GROUPS, Math.floor(MOST_SUMS / Math.max(1, conditions)));
    this.isHashed = inputs > MOST_INPUTS || inputs > most;
    this.count = this.isHashed ? Math.min(HASHED_GROUPS, most) : Math.max(1, inputs);
  }

  /** The group of an input. @param input the {@link hashOf} of its text */
  of(input: number): number {
    if (this.isHashed) return hashOf(String(input), SEED) % this.count;
    const known = this.known.get(input);
    if (known !== undefined) return known;
    this.known.set(input, this.known.size);
    return this.known.size - 1;
  }

  /** How many groups have an input. */
  get used(): number {
    return this.isHashed ? this.count : this.known.size;
  }
}

/** How often each group is in each of the draws: {@link DRAWS} rows of `groups` numbers. */
export function drawGroups(groups: number): Float64Array {
  const times = new Float64Array(DRAWS * groups);
  const random = randoms(SEED);
  for (let draw = 0; draw < DRAWS; draw += 1) {
    for (let at = 0; at < groups; at += 1) {
      const place = draw * groups + random(groups);
      times[place] = (times[place] as number) + 1;
    }
  }
  return times;
}

/**
 * Figures of each draw.
 * @param sums for each group of inputs `width` sums, from which figures are computed once they are added up
 */
export function drawFigures(
  times: Float64Array,
  groups: number,
  sums: Float64Array,
  figures: readonly ((sums: Float64Array) => number)[],
): Float64Array[] {
  const width = sums.length / groups;
  const drawn = new Float64Array(width);
  const found = figures.map(() => new Float64Array(DRAWS));
  for (let draw = 0; draw < DRAWS; draw += 1) {
    drawn.fill(0);
    for (let group = 0; group < groups; group += 1) {
      const count = times[draw * groups + group] as number;
      if (count === 0) continue;
      const from = group * width;
      for (let at = 0; at < width; at += 1) drawn[at] = (drawn[at] as number) + count * (sums[from + at] as number);
    }
    for (const [at, figure] of figures.entries()) (found[at] as Float64Array)[draw] = figure(drawn);
  }
  return found;
}

/** The middle 95% of the figures of draws (percentile bootstrap); null if less than half of the draws have a figure. */
export function intervalOf(figures: Float64Array): { low: number; high: number } | null {
  const sorted = figures.filter((figure) => !Number.isNaN(figure)).toSorted();
  if (sorted.length < figures.length / 2) return null;
  const at = (share: number) => {
    const place = share * (sorted.length - 1);
    const low = sorted[Math.floor(place)] as number;
    return low + ((sorted[Math.ceil(place)] as number) - low) * (place - Math.floor(place));
  };
  return { low: at((1 - CONFIDENCE) / 2), high: at((1 + CONFIDENCE) / 2) };
}
