import { BLEU_AT } from "./comparison.ts";
import { stirred } from "./hash.ts";

/** Raised with every change of a figure's definition, so that what an older version kept is not used. */
export const FIGURES_VERSION = 2;

/** How many figures an answer has, and how many answers there are, each as 32 bits. */
const HEAD_BYTES = 8;
const CHECK_BYTES = 4;

/** How many bytes an answer takes: its key and its shares are doubles, and its counts have 32 bits. */
function bytesOf(size: number): number {
  const shares = Math.min(BLEU_AT, size);
  return 8 + 8 * shares + 4 * (size - shares);
}

/** The figures of answers to one input as bytes: all keys, all shares, all counts, and a checksum. */
export function packed(answers: ReadonlyMap<number, Float64Array>, size: number): Uint8Array {
  const shares = Math.min(BLEU_AT, size);
  const counts = size - shares;
  const bytes = new Uint8Array(HEAD_BYTES + answers.size * bytesOf(size) + CHECK_BYTES);
  new Int32Array(bytes.buffer, 0, 2).set([size, answers.size]);
  const doubles = new Float64Array(bytes.buffer, HEAD_BYTES, answers.size * (1 + shares));
  const whole = new Int32Array(bytes.buffer, HEAD_BYTES + doubles.byteLength);
  let at = 0;
  for (const [key, figures] of answers) {
    doubles[at] = key;
    doubles.set(figures.subarray(0, shares), answers.size + at * shares);
    whole.set(figures.subarray(shares), at * counts);
    at += 1;
  }
  whole[whole.length - 1] = checksum(bytes);
  return bytes;
}

/** The figures in bytes, by the keys of the answers; null if the bytes are damaged. */
export function unpacked(stored: Uint8Array, size: number): Map<number, Float64Array> | null {
  if (stored.length < HEAD_BYTES + CHECK_BYTES || stored.length % 4 !== 0) return null;
  // A copy begins where arrays of numbers may begin.
  const bytes = stored.slice();
  const [ofSize, count = 0] = new Int32Array(bytes.buffer, 0, 2);
  if (ofSize !== size || bytes.length !== HEAD_BYTES + count * bytesOf(size) + CHECK_BYTES) return null;
  const shares = Math.min(BLEU_AT, size);
  const doubles = new Float64Array(bytes.buffer, HEAD_BYTES, count * (1 + shares));
  const whole = new Int32Array(bytes.buffer, HEAD_BYTES + doubles.byteLength);
  if (whole.at(-1) !== checksum(bytes)) return null;
  const all = new Float64Array(count * size);
  const answers = new Map<number, Float64Array>();
  for (let at = 0; at < count; at += 1) {
    const figures = all.subarray(at * size, (at + 1) * size);
    for (let place = 0; place < shares; place += 1) figures[place] = doubles[count + at * shares + place] as number;
    for (let place = shares; place < size; place += 1) {
      figures[place] = whole[at * (size - shares) + place - shares] as number;
    }
    answers.set(doubles[at] as number, figures);
  }
  return answers;
}

/** Of all words of 32 bits but the last. */
function checksum(bytes: Uint8Array): number {
  const words = new Int32Array(bytes.buffer, 0, bytes.length / 4 - 1);
  let sum = words.length;
  for (let at = 0; at < words.length; at += 1) {
    sum = Math.imul((sum << 5) ^ (sum >>> 27) ^ (words[at] as number), 0x9e3779b1);
  }
  return stirred(sum);
}
