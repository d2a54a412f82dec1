import { isUtf8 } from "node:buffer";
import { BadValue, Damage } from "./damage.ts";
import type { Annotation, SchemaElement } from "./footer.ts";
import { dateText, timestampText, timeText } from "./times.ts";

/** The physical types. */
export const [BOOLEAN, INT32, INT64, FLOAT, DOUBLE, BYTE_ARRAY, FIXED] = [0, 1, 2, 4, 5, 6, 7];
const INT96 = 3;

/** The type of the values at a leaf of the schema: how they are stored, and what becomes of them. */
export interface LeafType {
  /** Such as `timestamp`. */
  name: string;
  physical: number;
  /** The bytes of a value, if all have the same. */
  length: number;
  /** The value of a stored number. */
  ofNumber(value: number | bigint): unknown;
  /** The value of stored bytes, from `start` to `end`. */
  ofBytes(bytes: Buffer, start: number, end: number): unknown;
}

/** The values of a page, one by one, without nulls. `next` throws Damage. */
export interface Values {
  next(): unknown;
}

/** A longer value is no text of an input, and no string of V8. */
const MOST_VALUE_BYTES = 128_000_000;

/** Decimals have at most 76 digits in the files of known writers. */
const MOST_DECIMAL_BYTES = 64;
const MOST_SCALE = 200;

/** How an old number of days, counted from 4713 BC, maps to one counted from 1970. */
const JULIAN_1970 = 2_440_588;

/**
 * @param isOld whether the file declares no type at all: then it has texts as bytes
 * @throws Damage
 */
export function leafType({ physical, length, annotation }: SchemaElement, isOld: boolean): LeafType {
  if (physical === null || physical < BOOLEAN || physical > FIXED) {
    throw new Damage(`it has the unknown physical type ${physical ?? "none"}`);
  }
  if (physical === FIXED && (length < 1 || length > MOST_VALUE_BYTES)) {
    throw new Damage(`its values have ${length} bytes each`);
  }
  const base = { physical, length, ofNumber: (value: number | bigint): unknown => value, ofBytes: binary };
  if (physical === BYTE_ARRAY || physical === FIXED)
    return { ...base, ...ofByteColumn(annotation, physical, length, isOld) };
  if (physical === INT32 || physical === INT64) return { ...base, ...ofIntegerColumn(annotation, physical) };
  if (physical === INT96) return { ...base, length: 12, name: "timestamp", ofBytes: oldTimestamp };
  if (physical === BOOLEAN) return { ...base, name: "boolean", ofNumber: (value) => value === 1 };
  return { ...base, name: physical === FLOAT ? "float" : "double", ofNumber: finite };
}

function ofByteColumn(
  annotation: Annotation | null,
  physical: number,
  length: number,
  isOld: boolean,
): Pick<LeafType, "name" | "ofBytes"> {
  if (annotation?.kind === "decimal") {
    const scale = checkedScale(annotation.scale);
    return { name: "decimal", ofBytes: (bytes, start, end) => decimalText(bigEndian(bytes, start, end), scale) };
  }
  if (annotation?.kind === "float16" && length === 2)
    return { name: "float16", ofBytes: (bytes, at) => float16(bytes, at) };
  if (annotation?.kind === "uuid" && length === 16) return { name: "uuid", ofBytes: uuid };
  const { kind } = annotation ?? { kind: isOld && physical === BYTE_ARRAY ? "string" : "binary" };
  if (kind === "string" || kind === "json" || kind === "enum") return { name: kind, ofBytes: text };
  return { name: kind === "bson" || kind === "interval" ? kind : "binary", ofBytes: binary };
}

function ofIntegerColumn(annotation: Annotation | null, physical: number): Pick<LeafType, "name" | "ofNumber"> {
  if (annotation?.kind === "decimal") {
    const scale = checkedScale(annotation.scale);
    return { name: "decimal", ofNumber: (value) => decimalText(value, scale) };
  }
  if (annotation?.kind === "date") return { name: "date", ofNumber: (value) => dateText(Number(value)) };
  if (annotation?.kind === "time") {
    const { digits } = annotation;
    return { name: "time", ofNumber: (value) => timeText(value, digits) };
  }
  if (annotation?.kind === "timestamp") {
    const { digits, isUtc } = annotation;
    return { name: "timestamp", ofNumber: (value) => timestampText(value, digits, isUtc) };
  }
  if (annotation?.kind === "integer") {
    const { bits, isSigned } = annotation;
    const name = `${isSigned ? "int" : "uint"}${bits}`;
    if (isSigned) return { name, ofNumber: (value) => value };
    const range = 2 ** 32;
    if (physical === INT32) return { name, ofNumber: (value) => (value < 0 ? Number(value) + range : value) };
    return { name, ofNumber: (value) => (value < 0 ? BigInt.asUintN(64, BigInt(value)) : value) };
  }
  return { name: physical === INT32 ? "int32" : "int64", ofNumber: (value) => value };
}

/** JSON has no other numbers. Missing numbers are NaN in files of pandas. */
function finite(value: number | bigint): number | bigint | null {
  return Number.isFinite(Number(value)) ? value : null;
}

function text(bytes: Buffer, start: number, end: number): string {
  checkLength(end - start);
  const value = bytes.toString("utf8", start, end);
  // Invalid bytes are decoded as this character, which a text may also have.
  if (value.includes("\ufffd") && !isUtf8(bytes.subarray(start, end))) throw new BadValue("is not UTF-8 text");
  return value;
}

/** A copy, because the bytes belong to a whole page. */
function binary(bytes: Buffer, start: number, end: number): Uint8Array {
  checkLength(end - start);
  return Uint8Array.prototype.slice.call(bytes, start, end);
}

function checkLength(length: number): void {
  if (length > MOST_VALUE_BYTES) {
    throw new BadValue(`has ${(length / 1e6).toFixed(1)} MB; at most ${MOST_VALUE_BYTES / 1e6} MB are read`);
  }
}

function uuid(bytes: Buffer, start: number): string {
  const hex = bytes.toString("hex", start, start + 16);
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20)].join("-");
}

function float16(bytes: Buffer, start: number): number | null {
  const half = bytes.readUInt16LE(start);
  const sign = half >> 15 === 1 ? -1 : 1;
  const [exponent, fraction] = [(half >> 10) & 31, (half & 1023) / 1024];
  if (exponent === 31) return null;
  return exponent === 0 ? sign * 2 ** -14 * fraction : sign * 2 ** (exponent - 15) * (1 + fraction);
}

/** A timestamp of 96 bits, as old files of Impala, Hive and Spark have it: nanoseconds of a day, and the day. */
function oldTimestamp(bytes: Buffer, start: number): string {
  const days = bytes.readInt32LE(start + 8) - JULIAN_1970;
  return timestampText(BigInt(days) * 86_400_000_000_000n + bytes.readBigInt64LE(start), 9, false);
}

function bigEndian(bytes: Buffer, start: number, end: number): bigint {
  if (end - start > MOST_DECIMAL_BYTES) throw new BadValue(`is a decimal of ${end - start} bytes`);
  if (end === start) return 0n;
  return BigInt.asIntN(8 * (end - start), BigInt(`0x${bytes.toString("hex", start, end)}`));
}

function decimalText(value: number | bigint, scale: number): string {
  const digits = String(value < 0 ? -value : value).padStart(scale + 1, "0");
  const split = digits.length - scale;
  const fraction = scale === 0 ? "" : `.${digits.slice(split)}`;
  return `${value < 0 ? "-" : ""}${digits.slice(0, split)}${fraction}`;
}

function checkedScale(scale: number): number {
  if (scale >= 0 && scale <= MOST_SCALE) return scale;
  throw new Damage(`its decimals have ${scale} digits after the point`);
}
