import { crc32 } from "node:zlib";

/** CRC-32 of the stored bytes of a text: UTF-8, or UTF-16LE if it has lone surrogates. */
export function checksumOf(text: string): number {
  return crc32(text.isWellFormed() ? text : Buffer.from(text, "utf16le"));
}
