import { type Bytes, Runs } from "./bits.ts";
import { BadValue, counted, Damage } from "./damage.ts";
import { deltaBytes, deltaLengths, deltaNumbers } from "./delta.ts";
import { BOOLEAN, BYTE_ARRAY, DOUBLE, FLOAT, INT32, INT64, type LeafType, type Values } from "./leaf-type.ts";

/** The encodings of values. */
const [PLAIN, PLAIN_DICTIONARY, RLE, DELTA_BINARY_PACKED, DELTA_LENGTH, DELTA_BYTES, RLE_DICTIONARY, STREAM_SPLIT] = [
  0, 2, 3, 5, 6, 7, 8, 9,
];

/** @param dictionary the values of the column's dictionary, if it has one */
export function valuesOf(bytes: Bytes, encoding: number, type: LeafType, dictionary: unknown[] | null): Values {
  // A page of nothing but nulls may have no bytes for its values.
  if (encoding === PLAIN || bytes.at === bytes.end) return plain(bytes, type);
  if (encoding === PLAIN_DICTIONARY || encoding === RLE_DICTIONARY) {
    if (!dictionary) throw new Damage("refers to a dictionary, but its column has none");
    return places(bytes, dictionary);
  }
  const isInteger = type.physical === INT32 || type.physical === INT64;
  if (encoding === RLE && type.physical === BOOLEAN) {
    const runs = new Runs(bytes.part(), 1);
    return { next: () => type.ofNumber(runs.next()) };
  }
  if (encoding === DELTA_BINARY_PACKED && isInteger) return deltaNumbers(bytes, type);
  if (encoding === DELTA_LENGTH && type.physical === BYTE_ARRAY) return deltaLengths(bytes, type);
  if (encoding === DELTA_BYTES && type.physical >= BYTE_ARRAY) return deltaBytes(bytes, type);
  if (encoding === STREAM_SPLIT && type.physical !== BYTE_ARRAY && type.physical !== BOOLEAN) return split(bytes, type);
  throw new Damage(`has the encoding ${encoding}, which is unknown for ${type.name}`);
}

/** The values of a dictionary. One that is bad is an error for the rows that have it. */
export function dictionaryOf(bytes: Bytes, count: number, type: LeafType): unknown[] {
  const values = plain(bytes, type);
  const list: unknown[] = [];
  while (list.length < count) {
    try {
      list.push(values.next());
    } catch (error) {
      if (!(error instanceof BadValue)) throw error;
      list.push(error);
    }
  }
  return list;
}

/** Values one after another, as their bytes are. */
function plain(bytes: Bytes, type: LeafType): Values {
  const { buffer } = bytes;
  if (type.physical === BOOLEAN) {
    let bit = 8;
    let byte = 0;
    return {
      next() {
        if (bit === 8) [bit, byte] = [0, bytes.byte()];
        bit += 1;
        return type.ofNumber((byte >> (bit - 1)) & 1);
      },
    };
  }
  if (type.physical === BYTE_ARRAY) {
    return {
      next() {
        const start = bytes.take(buffer.readUInt32LE(bytes.take(4)));
        return type.ofBytes(buffer, start, bytes.at);
      },
    };
  }
  const size = sizeOf(type);
  return { next: () => fixed(type, buffer, bytes.take(size)) };
}

/** The bytes of each value of a type that is not of bytes with their length. */
function sizeOf({ physical, length }: LeafType): number {
  if (physical === INT32 || physical === FLOAT) return 4;
  return physical === INT64 || physical === DOUBLE ? 8 : length;
}

/** The value that begins at a byte. */
function fixed(type: LeafType, buffer: Buffer, at: number): unknown {
  if (type.physical === INT32) return type.ofNumber(buffer.readInt32LE(at));
  if (type.physical === INT64) return type.ofNumber(int64(buffer, at));
  if (type.physical === FLOAT) return type.ofNumber(buffer.readFloatLE(at));
  if (type.physical === DOUBLE) return type.ofNumber(buffer.readDoubleLE(at));
  return type.ofBytes(buffer, at, at + type.length);
}

/** A bigint only if a number cannot hold it. */
function int64(buffer: Buffer, at: number): number | bigint {
  const high = buffer.readInt32LE(at + 4);
  const value = high * 2 ** 32 + buffer.readUInt32LE(at);
  return Number.isSafeInteger(value) ? value : buffer.readBigInt64LE(at);
}

/** Places in the dictionary. */
function places(bytes: Bytes, dictionary: unknown[]): Values {
  const runs = new Runs(bytes, bytes.byte());
  return {
    next() {
      const place = runs.next();
      if (place >= dictionary.length) {
        throw new Damage(
          `refers to entry ${counted(place)} of a dictionary with ${counted(dictionary.length)} entries`,
        );
      }
      const value = dictionary[place];
      if (typeof value === "object" && value instanceof BadValue) throw value;
      return value;
    },
  };
}

/** The first bytes of all values, then their second bytes, and so on. */
function split(bytes: Bytes, type: LeafType): Values {
  const size = sizeOf(type);
  const count = (bytes.end - bytes.at) / size;
  if (!Number.isInteger(count)) throw new Damage("ends in the middle of its values");
  const value = Buffer.alloc(size);
  const start = bytes.at;
  return {
    next() {
      // Each value takes one byte of each stream; those of the first one tell when the values end.
      const place = bytes.at - start;
      if (place >= count) throw new Damage("has fewer values than it states");
      bytes.at += 1;
      for (let at = 0; at < size; at += 1) value[at] = bytes.buffer[start + at * count + place] ?? 0;
      return fixed(type, value, 0);
    },
  };
}
