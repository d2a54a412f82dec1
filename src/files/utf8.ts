import { isUtf8 } from "node:buffer";
import { UsageError } from "../errors.ts";

/**
 * Decodes bytes of UTF-8 into chunks that end between characters, without a byte order mark.
 * @param placeOf says where the text that is read next belongs, such as `in row 7`
 * @param check throws if the file, which begins with these bytes, is of a wrong kind
 */
export async function* decoded(
  chunks: AsyncIterable<Buffer>,
  path: string,
  placeOf: () => string,
  check: (begin: Buffer) => void,
): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });
  /** Where in the file `rest` begins. `rest` has the bytes of a character that is not complete yet. */
  let position = 0;
  let rest: Buffer = Buffer.alloc(0);
  const badByte = (at: number, byte: number | undefined) => {
    const what = [`0x${(byte ?? 0).toString(16).toUpperCase().padStart(2, "0")}`, placeOf()].filter(Boolean).join(", ");
    return new UsageError(
      `${path} is not UTF-8 text: the byte at ${at} (${what}) is not valid UTF-8`,
      "Save it as UTF-8. It may be Latin-1 (ISO-8859-1) or Windows-1252.",
    );
  };
  for await (const bytes of chunks) {
    const joined = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    if (position === 0) check(joined);
    const whole = joined.subarray(0, wholeLength(joined));
    const good = isUtf8(whole) ? whole : whole.subarray(0, goodLength(whole));
    const text = decoder.decode(good);
    // The text before the bad byte goes out first, so that `placeOf` knows the place.
    yield position === 0 && text.startsWith(BYTE_ORDER_MARK) ? text.slice(1) : text;
    if (good.length < whole.length) throw badByte(position + good.length, whole[good.length]);
    rest = joined.subarray(whole.length);
    position += whole.length;
  }
  if (rest.length > 0) throw badByte(position, rest[0]);
}

const BYTE_ORDER_MARK = "\ufeff";

/** How many bytes belong to complete characters; the last character may be incomplete. */
function wholeLength(bytes: Buffer): number {
  for (let back = 1; back <= Math.min(3, bytes.length); back += 1) {
    const byte = bytes[bytes.length - back] ?? 0;
    if (byte < 0x80) break;
    const wanted = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 0;
    if (wanted > back) return bytes.length - back;
    if (wanted > 0) break;
  }
  return bytes.length;
}

/** How many bytes come before the first invalid character. */
function goodLength(bytes: Buffer): number {
  let [good, bad] = [0, bytes.length];
  while (bad - good > 1) {
    const middle = (good + bad) >> 1;
    const begin = bytes.subarray(0, middle);
    if (isUtf8(begin.subarray(0, wholeLength(begin)))) good = middle;
    else bad = middle;
  }
  return wholeLength(bytes.subarray(0, good));
}
