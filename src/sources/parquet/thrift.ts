import { Damage } from "./damage.ts";

/** Types of Thrift's compact protocol. A boolean field has its value as its type. */
const [STOP, TRUE, FALSE, BYTE, I16, I32, I64, DOUBLE, BINARY, LIST, SET, STRUCT] = [
  0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 12,
];

/** Structs in structs. Parquet's own go six deep. */
const DEEPEST = 24;

/** The bytes end before the value does. */
export class CutOff extends Damage {}

/**
 * Reads Thrift's compact protocol field by field, so that memory is only used for what is kept.
 * Each function throws Damage if the bytes are not what they should be.
 */
export class ThriftReader {
  readonly #bytes: Buffer;
  #depth = 0;
  /** The position of the next byte. */
  at = 0;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
  }

  /** Calls `read` for each field of a struct. A field for which it returns false is skipped. */
  struct(read: (field: number, type: number) => boolean): void {
    this.#enter();
    let field = 0;
    for (let head = this.#byte(); (head & 15) !== STOP; head = this.#byte()) {
      const step = head >> 4;
      field = step === 0 ? this.#zigzag() : field + step;
      if (!read(field, head & 15)) this.#skip(head & 15);
    }
    this.#depth -= 1;
  }

  /** The struct in a field; see {@link struct}. */
  structIn(type: number, read: (field: number, type: number) => boolean): void {
    expect(type === STRUCT, "a struct");
    this.struct(read);
  }

  /** Calls `read` for each element of a list. */
  list(type: number, read: (type: number) => void): void {
    expect(type === LIST, "a list");
    const { element, size } = this.#listHead();
    for (let at = 0; at < size; at += 1) read(element);
  }

  integer(type: number): number {
    if (type === BYTE) return (this.#byte() << 24) >> 24;
    expect(type === I16 || type === I32 || type === I64, "a whole number");
    return this.#zigzag();
  }

  boolean(type: number): boolean {
    expect(type === TRUE || type === FALSE, "true or false");
    return type === TRUE;
  }

  text(type: number): string {
    expect(type === BINARY, "a text");
    const length = this.#length();
    this.at += length;
    return this.#bytes.toString("utf8", this.at - length, this.at);
  }

  #skip(type: number): void {
    if (type === TRUE || type === FALSE) return;
    if (type === BYTE) this.#advance(1);
    else if (type === DOUBLE) this.#advance(8);
    else if (type === I16 || type === I32 || type === I64) this.#varint();
    else if (type === BINARY) this.#advance(this.#length());
    else if (type === STRUCT) this.struct(() => false);
    else if (type === LIST || type === SET) {
      this.#enter();
      const { element, size } = this.#listHead();
      // In a list, a boolean takes a byte.
      for (let at = 0; at < size; at += 1) this.#skip(element === TRUE || element === FALSE ? BYTE : element);
      this.#depth -= 1;
    } else throw new Damage(`it has a field of the unknown type ${type}`);
  }

  #listHead(): { element: number; size: number } {
    const head = this.#byte();
    const size = head >> 4 === 15 ? this.#length() : head >> 4;
    return { element: head & 15, size };
  }

  /** A count of bytes, or of elements that take a byte or more. */
  #length(): number {
    const length = this.#varint();
    if (length > this.#bytes.length - this.at) throw new CutOff("it ends in the middle");
    return length;
  }

  #advance(bytes: number): void {
    if (bytes > this.#bytes.length - this.at) throw new CutOff("it ends in the middle");
    this.at += bytes;
  }

  #byte(): number {
    const byte = this.#bytes[this.at];
    if (byte === undefined) throw new CutOff("it ends in the middle");
    this.at += 1;
    return byte;
  }

  #zigzag(): number {
    const number = this.#varint();
    const value = number % 2 === 0 ? number / 2 : -(number + 1) / 2;
    if (!Number.isSafeInteger(value)) throw new Damage("it has a number that is too large");
    return value;
  }

  #varint(): number {
    let value = 0;
    for (let place = 0; place < 10; place += 1) {
      const byte = this.#byte();
      value += (byte & 127) * 2 ** (7 * place);
      if (byte < 128) return value;
    }
    throw new Damage("it has a number that is too long");
  }

  #enter(): void {
    this.#depth += 1;
    if (this.#depth > DEEPEST) throw new Damage(`it is nested more than ${DEEPEST} deep`);
  }
}

function expect(isSo: boolean, what: string): void {
  if (!isSo) throw new Damage(`${what} is expected where it has something else`);
}
