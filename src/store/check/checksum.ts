import { crc32 } from "node:zlib";

/** CRC-32 of the bytes of a text as they are stored: its UTF-8, or its UTF-16LE where it has none. */
export function checksumOf(text: string): number {
  return crc32(text.isWellFormed() ? text : Buffer.from(text, "utf16le"));
}
