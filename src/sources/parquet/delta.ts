import { Bytes, bitsAt } from "./bits.ts";
import { counted, Damage } from "./damage.ts";
import { FIXED, INT32, type LeafType, type Values } from "./leaf-type.ts";

/** The numbers of a page. A few bytes may stand for any number of them. */
const MOST_NUMBERS = 1 << 24;

/** Numbers as differences from the number before, packed to their bits in blocks of small blocks. */
class Deltas {
  readonly #bytes: Bytes;
  readonly #perSmallBlock: number;
  readonly #widths: number[];
  /** Where numbers wrap around. */
  readonly #bits: number;
  /** How many numbers it states. */
  readonly total: number;
  /** How many numbers were not read yet. */
  #left: number;
  #value: bigint;
  #least = 0n;
  /** The same as numbers, which are faster: for 32 bits. */
  #value32: number;
  #least32 = 0;
  /** The small block: its place in the block, the numbers left in it, and the bit at which the next one begins. */
  #block: number;
  #inBlock = 0;
  #position = 0;
  #isFirst = true;

  constructor(bytes: Bytes, bits: number) {
    const size = bytes.varint();
    const blocks = bytes.varint();
    this.total = this.#left = bytes.varint();
    this.#value = bytes.zigzag();
    this.#value32 = Number(BigInt.asIntN(32, this.#value));
    this.#perSmallBlock = size / blocks;
    if (blocks === 0 || blocks > 4096 || size === 0 || this.#perSmallBlock % 8 !== 0) {
      throw new Damage(`has blocks of ${size} numbers in ${blocks} parts`);
    }
    if (this.total > MOST_NUMBERS) {
      throw new Damage(`has ${counted(this.total)} numbers; at most ${counted(MOST_NUMBERS)} are read`);
    }
    this.#bytes = bytes;
    this.#bits = bits;
    this.#widths = Array.from({ length: blocks }, () => 0);
    this.#block = blocks;
  }

  next(): number | bigint {
    if (this.#left === 0) throw new Damage("has fewer values than it states");
    this.#left -= 1;
    if (this.#isFirst) this.#isFirst = false;
    else this.#step();
    return this.#bits === 32 ? this.#value32 : this.#value;
  }

  #step(): void {
    if (this.#inBlock === 0) this.#begin();
    this.#inBlock -= 1;
    const width = this.#widths[this.#block - 1] ?? 0;
    const { buffer } = this.#bytes;
    const low = width === 0 ? 0 : bitsAt(buffer, this.#position, Math.min(width, 32));
    if (this.#bits === 32) this.#value32 = (this.#value32 + this.#least32 + low) | 0;
    else {
      const high = width > 32 ? BigInt(bitsAt(buffer, this.#position + 32, width - 32)) << 32n : 0n;
      this.#value = BigInt.asIntN(64, this.#value + this.#least + high + BigInt(low));
    }
    this.#position += width;
  }

  #begin(): void {
    const bytes = this.#bytes;
    if (this.#block === this.#widths.length) {
      this.#block = 0;
      this.#least = bytes.zigzag();
      this.#least32 = Number(BigInt.asIntN(32, this.#least));
      for (let at = 0; at < this.#widths.length; at += 1) {
        const width = bytes.byte();
        if (width > 64) throw new Damage(`packs its numbers into ${width} bits`);
        this.#widths[at] = width;
      }
    }
    const width = this.#widths[this.#block] ?? 0;
    this.#block += 1;
    this.#inBlock = this.#perSmallBlock;
    this.#position = bytes.take((this.#perSmallBlock * width) / 8) * 8;
  }
}

export function deltaNumbers(bytes: Bytes, type: LeafType): Values {
  const deltas = new Deltas(bytes, type.physical === INT32 ? 32 : 64);
  return {
    next() {
      const value = deltas.next();
      const number = Number(value);
      return type.ofNumber(Number.isSafeInteger(number) ? number : value);
    },
  };
}

/** Lengths of values, which stand in front of other bytes. Memory does not grow with them: they are read twice. */
function lengths(bytes: Bytes): { total: number; next(): number } {
  const again = new Bytes(bytes.buffer, bytes.at, bytes.end);
  const first = new Deltas(bytes, 32);
  for (let at = 0; at < first.total; at += 1) first.next();
  const deltas = new Deltas(again, 32);
  return {
    total: deltas.total,
    next() {
      const length = Number(deltas.next());
      if (length < 0) throw new Damage(`has a value of ${length} bytes`);
      return length;
    },
  };
}

/** The lengths of all values, then their bytes. */
export function deltaLengths(bytes: Bytes, type: LeafType): Values {
  const ends = lengths(bytes);
  return {
    next() {
      const start = bytes.take(ends.next());
      return type.ofBytes(bytes.buffer, start, bytes.at);
    },
  };
}

/** The bytes that all values of a page may have together, where each repeats the beginning of the one before. */
const MOST_BYTES = 512_000_000;

/** How much each value repeats of the one before, the lengths of what follows, and the bytes of that. */
export function deltaBytes(bytes: Bytes, type: LeafType): Values {
  const [prefixes, suffixes] = [lengths(bytes), lengths(bytes)];
  let before: Buffer = Buffer.alloc(0);
  let sum = 0;
  return {
    next() {
      const [prefix, suffix] = [prefixes.next(), suffixes.next()];
      if (prefix > before.length) throw new Damage("has a value that repeats more than the one before has");
      sum += prefix + suffix;
      if (sum > MOST_BYTES) throw new Damage(`has values of more than ${MOST_BYTES / 1e6} MB`);
      const start = bytes.take(suffix);
      before = Buffer.concat([before.subarray(0, prefix), bytes.buffer.subarray(start, bytes.at)]);
      if (type.physical === FIXED && before.length !== type.length) {
        throw new Damage(`has a value of ${before.length} bytes; its column has ${type.length}`);
      }
      return type.ofBytes(before, 0, before.length);
    },
  };
}
