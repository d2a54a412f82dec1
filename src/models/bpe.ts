/** The bits of a rank. A slot of the hash table has a rank, and above it the top bits of the token's hash. */
const RANK_BITS = 18;
const RANK_MASK = (1 << RANK_BITS) - 1;
const FREE = -1;

/** Above every rank: the looked up bytes are not a token. */
const NONE = 1 << RANK_BITS;

/** The slots of the hash table: a power of two, and twice the possible number of ranks. */
const SLOTS = 2 * NONE;

/** The most bytes that are merged at once, and the fewest that are added to a longer piece at once. */
const STRIDE = 48;

const SPACE = 0x20;
const ZERO = 0x30;

/** What each character of base64 stands for, by its code. */
const PADDING = 64;
const SIX_BITS = new Uint8Array(256).fill(PADDING);
for (const [six, character] of [..."ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"].entries()) {
  SIX_BITS[character.charCodeAt(0)] = six;
}

/**
 * A byte-pair vocabulary that splits pieces of text into tokens. A token's number is its rank. If the whole piece is a
 * token, that is the result. Otherwise every byte starts as one part. Two adjacent parts can be joined if their bytes
 * together are a token; the pair of the lowest rank is joined first, the leftmost of equals, until no pair can be joined.
 */
export class Bpe {
  /** The bytes of all tokens, one after the other: `lengths[rank]` bytes from `offsets[rank]` on. */
  private readonly spelling: Uint8Array;
  private readonly offsets = new Int32Array(NONE);
  private readonly lengths = new Uint8Array(NONE);
  private longest = 0;
  /** A hash table of the tokens, with linear probing. */
  private readonly slots = new Int32Array(SLOTS).fill(FREE);
  /** The ranks of the tokens of two bytes, at the first byte × 256 + the second. */
  private readonly pairs = new Int32Array(1 << 16).fill(NONE);
  /** The result of `merge`: where each part starts, and where the last one ends. */
  private starts = new Int32Array(1024);
  /** Used by `merge`: the rank of the token that each part and the next one would make. */
  private joined = new Int32Array(1024);

  /**
   * `vocabulary` has lines `! FIRST TOKEN TOKEN …` of tokens in base64, whose ranks are FIRST, FIRST + 1, …
   * It must have a token for every byte.
   */
  constructor(vocabulary: string) {
    // Read byte by byte: as 200,000 strings it would take three times as long, which every run would wait for.
    const text = Buffer.from(vocabulary, "latin1");
    const spelling = new Uint8Array(text.length);
    let end = 0;
    for (let at = 0; at < text.length; at++) {
      let rank = 0;
      for (at += "! ".length; text[at] !== SPACE; at++) rank = 10 * rank + text[at]! - ZERO;
      while (text[at] === SPACE) {
        const start = end;
        let bits = 0;
        let count = 0;
        for (at++; at < text.length && text[at]! > SPACE; at++) {
          const six = SIX_BITS[text[at]!]!;
          if (six === PADDING) continue;
          bits = (bits << 6) | six;
          count += 6;
          if (count < 8) continue;
          count -= 8;
          spelling[end++] = bits >> count;
        }
        this.add(rank++, spelling, start, end);
      }
    }
    this.spelling = spelling.slice(0, end);
  }

  /**
   * The number of tokens of the piece of text, in UTF-8, that is in `data` from `start` to before `end`. It
   * must not be empty. The tokens are appended to `out`, if given.
   */
  tokens(data: Uint8Array, start: number, end: number, out?: number[]): number {
    const whole = this.rank(data, start, end);
    if (whole !== NONE) {
      out?.push(whole);
      return 1;
    }
    const long = end - start > STRIDE;
    const borders = long ? this.mergeLong(data, start, end) : this.starts;
    const count = long ? borders.length - 1 : this.merge(data, start, end);
    if (out !== undefined) {
      for (let i = 0; i < count; i++) {
        out.push(this.rank(data, borders[i]!, borders[i + 1]!));
      }
    }
    return count;
  }

  /** The rank of the token that `data` spells from `start` to before `end`, or NONE. */
  private rank(data: Uint8Array, start: number, end: number): number {
    const length = end - start;
    if (length > this.longest) {
      return NONE;
    }
    const { slots, lengths, offsets, spelling } = this;
    const hash = hashOf(data, start, end);
    for (let at = firstSlot(hash); ; at = (at + 1) & (SLOTS - 1)) {
      const slot = slots[at]!;
      if (slot === FREE) {
        return NONE;
      }
      const rank = slot & RANK_MASK;
      if ((slot ^ hash) >>> RANK_BITS === 0 && lengths[rank] === length) {
        const shift = offsets[rank]! - start;
        let i = start;
        while (i < end && data[i] === spelling[i + shift]) {
          i++;
        }
        if (i === end) {
          return rank;
        }
      }
    }
  }

  /** Merges the bytes of `data` from `start` to before `end` into `starts`. Returns the number of parts. */
  private merge(data: Uint8Array, start: number, end: number): number {
    let count = end - start;
    if (count >= this.starts.length) {
      this.starts = new Int32Array(2 * count);
      this.joined = new Int32Array(2 * count);
    }
    const { starts, joined, pairs } = this;
    let lowest = NONE;
    for (let i = 0; i < count; i++) {
      starts[i] = start + i;
      joined[i] = i + 1 < count ? pairs[data[start + i]! * 256 + data[start + i + 1]!]! : NONE;
      lowest = Math.min(lowest, joined[i]!);
    }
    starts[count] = end;

    // One pass joins all pairs of the lowest rank. A joined part makes new pairs with its neighbours. None has the same
    // rank, because its token is longer. If one has a lower rank, the pass ends, because that pair must be joined first.
    while (lowest !== NONE) {
      let rank = lowest;
      let previous = NONE;
      let i = 0;
      for (lowest = NONE; joined[i] !== rank; i++) {
        lowest = Math.min(lowest, previous);
        previous = joined[i]!;
      }
      let kept = i;
      for (; i < count; i++) {
        const from = starts[i]!;
        let next = joined[i]!;
        if (next === rank) {
          i++;
          next = i + 1 < count ? this.rank(data, from, starts[i + 2]!) : NONE;
          if (kept > 0) {
            previous = this.rank(data, starts[kept - 1]!, starts[i + 1]!);
            joined[kept - 1] = previous;
          }
          if (Math.min(previous, next) < rank) {
            rank = NONE + 1;
          }
        }
        lowest = Math.min(lowest, previous);
        previous = next;
        starts[kept] = from;
        joined[kept] = next;
        kept++;
      }
      starts[kept] = end;
      count = kept;
    }
    return count;
  }

  /**
   * Like `merge`, in time proportional to the length. Returns where each token starts, and where the last one
   * ends.
   *
   * Why this is right: a sequence of tokens is the result for a text if and only if every two neighbours are the
   * result for their own two texts. Joins within two neighbours do not depend on what is around them. So when bytes
   * are added, it is enough to merge them again with the last few tokens, and with more of them until the first of
   * these comes out unchanged: then it still fits the token before it.
   */
  private mergeLong(data: Uint8Array, start: number, end: number): number[] {
    const borders = [start];
    for (let done = start; done < end;) {
      for (let redone = 2; ; redone *= 2) {
        const first = Math.max(0, borders.length - 1 - redone);
        const from = borders[first]!;
        const to = Math.min(end, done + Math.max(STRIDE, 2 * (done - from)));
        const count = this.merge(data, from, to);
        if (first === 0 || this.starts[1] === borders[first + 1]) {
          borders.length = first;
          for (let i = 0; i <= count; i++) {
            borders.push(this.starts[i]!);
          }
          done = to;
          break;
        }
      }
    }
    return borders;
  }

  /** Adds the token `rank`, whose bytes are in `spelling` from `start` to before `end`, to the tables. */
  private add(rank: number, spelling: Uint8Array, start: number, end: number): void {
    const { slots } = this;
    this.offsets[rank] = start;
    this.lengths[rank] = end - start;
    this.longest = Math.max(this.longest, end - start);
    if (end - start === 2) {
      this.pairs[spelling[start]! * 256 + spelling[start + 1]!] = rank;
    }
    const hash = hashOf(spelling, start, end);
    let at = firstSlot(hash);
    while (slots[at] !== FREE) {
      at = (at + 1) & (SLOTS - 1);
    }
    slots[at] = (hash & ~RANK_MASK) | rank;
  }
}

/** FNV-1a, of 32 bits with sign. */
function hashOf(data: Uint8Array, start: number, end: number): number {
  let hash = 0x811c9dc5;
  for (let i = start; i < end; i++) {
    hash = Math.imul(hash ^ data[i]!, 0x01000193);
  }
  return hash;
}

function firstSlot(hash: number): number {
  return (hash ^ (hash >>> 15)) & (SLOTS - 1);
}
