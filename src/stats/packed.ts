import { BLEU_AT, WITH_REFERENCE, WITHOUT_REFERENCE } from "./comparison.ts";
import { stirred } from "./hash.ts";

/** Raised with every change of a figure's definition, so that what an older version kept is not used. */
export const FIGURES_VERSION = 1;

const CHECK_BYTES = 4;

/** Figures of an answer as bytes: shares as doubles, counts as whole numbers of 32 bits, and a checksum. */
export function packed(figures: Float64Array): Uint8Array {
  const shares = figures.subarray(0, Math.min(BLEU_AT, figures.length));
  const counts = Int32Array.from(figures.subarray(shares.length));
  const bytes = new Uint8Array(8 * shares.length + 4 * counts.length + CHECK_BYTES);
  bytes.set(new Uint8Array(shares.slice().buffer));
  bytes.set(new Uint8Array(counts.buffer), 8 * shares.length);
  new DataView(bytes.buffer).setInt32(bytes.length - CHECK_BYTES, checksum(bytes), true);
  return bytes;
}

/** The figures in bytes; null if the bytes are damaged. */
export function unpacked(bytes: Uint8Array): Float64Array | null {
  const size = SIZES.get(bytes.length);
  if (size === undefined) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  if (view.getInt32(bytes.length - CHECK_BYTES, true) !== checksum(bytes)) return null;
  const figures = new Float64Array(size);
  const shares = Math.min(BLEU_AT, size);
  for (let at = 0; at < shares; at += 1) figures[at] = view.getFloat64(8 * at, true);
  for (let at = shares; at < size; at += 1) figures[at] = view.getInt32(8 * shares + 4 * (at - shares), true);
  return figures;
}

/** How many figures there are in so many bytes. */
const SIZES = new Map(
  [WITHOUT_REFERENCE, WITH_REFERENCE].map((size) => {
    const shares = Math.min(BLEU_AT, size);
    return [8 * shares + 4 * (size - shares) + CHECK_BYTES, size];
  }),
);

/** Of all bytes but the last four. */
function checksum(bytes: Uint8Array): number {
  let sum = bytes.length;
  for (let at = 0; at < bytes.length - CHECK_BYTES; at += 1) {
    sum = Math.imul((sum << 5) ^ (sum >>> 27) ^ (bytes[at] as number), 0x9e3779b1);
  }
  return stirred(sum);
}
