import { Damage } from "./damage.ts";

/** Bytes with a place in them. Reading beyond `end` throws Damage. */
export class Bytes {
  readonly buffer: Buffer;
  readonly end: number;
  at: number;

  constructor(buffer: Buffer, at = 0, end = buffer.length) {
    this.buffer = buffer;
    this.at = at;
    this.end = end;
  }

  /** Moves over some bytes. @returns where they begin */
  take(count: number): number {
    const start = this.at;
    if (count < 0 || count > this.end - start) throw new Damage("ends in the middle of its values");
    this.at = start + count;
    return start;
  }

  /** A part with a length of four bytes before it. */
  part(): Bytes {
    return this.slice(this.buffer.readUInt32LE(this.take(4)));
  }

  slice(count: number): Bytes {
    const start = this.take(count);
    return new Bytes(this.buffer, start, this.at);
  }

  byte(): number {
    return this.buffer[this.take(1)] ?? 0;
  }

  /** A number without sign, in groups of seven bits. */
  varint(): number {
    let value = 0;
    for (let place = 0; place < 5; place += 1) {
      const byte = this.byte();
      value += (byte & 127) * 2 ** (7 * place);
      if (byte < 128) return value;
    }
    throw new Damage("has a number that is too long");
  }

  /** A number of up to 64 bits with a sign. */
  zigzag(): bigint {
    let value = 0n;
    for (let place = 0n; place < 70n; place += 7n) {
      const byte = this.byte();
      value |= BigInt(byte & 127) << place;
      if (byte < 128) return BigInt.asIntN(64, (value >> 1n) ^ -(value & 1n));
    }
    throw new Damage("has a number that is too long");
  }
}

/** A number of up to 32 bits that begins at a bit. The lowest bit comes first. */
export function bitsAt(buffer: Buffer, position: number, width: number): number {
  const at = Math.floor(position / 8);
  const shift = position & 7;
  let value = word(buffer, at) >>> shift;
  if (shift + width > 32) value |= (buffer[at + 4] ?? 0) << (32 - shift);
  return width === 32 ? value >>> 0 : value & ((1 << width) - 1);
}

function word(buffer: Buffer, at: number): number {
  return (
    (buffer[at] ?? 0) | ((buffer[at + 1] ?? 0) << 8) | ((buffer[at + 2] ?? 0) << 16) | ((buffer[at + 3] ?? 0) << 24)
  );
}

/** Numbers in runs of one number, and in groups of eight that are packed to their bits: levels, and places in dictionaries. */
export class Runs {
  readonly #bytes: Bytes;
  readonly #width: number;
  /** How many numbers of the run are left. */
  #left = 0;
  #isPacked = false;
  /** The number of the run, or the bit at which its next one begins. */
  #value = 0;

  constructor(bytes: Bytes, width: number) {
    if (width > 32) throw new Damage(`packs its numbers into ${width} bits`);
    this.#bytes = bytes;
    this.#width = width;
  }

  next(): number {
    // A dictionary with one entry needs no bits, and some writers then write no runs.
    if (this.#width === 0) return 0;
    while (this.#left === 0) this.#begin();
    this.#left -= 1;
    if (!this.#isPacked) return this.#value;
    const position = this.#value;
    this.#value += this.#width;
    return bitsAt(this.#bytes.buffer, position, this.#width);
  }

  #begin(): void {
    const bytes = this.#bytes;
    const head = bytes.varint();
    this.#isPacked = head % 2 === 1;
    if (this.#isPacked) {
      const groups = Math.floor(head / 2);
      // Some writers leave out the bytes at the end that no number needs.
      const length = Math.min(groups * this.#width, bytes.end - bytes.at);
      this.#left = Math.min(groups * 8, Math.floor((length * 8) / this.#width));
      this.#value = bytes.take(length) * 8;
    } else {
      this.#left = head / 2;
      const size = Math.ceil(this.#width / 8);
      this.#value = bytes.buffer.readUIntLE(bytes.take(size), size);
    }
  }
}
