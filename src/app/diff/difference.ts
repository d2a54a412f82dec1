// In scripts that are written without spaces each character is a word, elsewhere what has no other sign in it.
const UNSPACED = ["Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar"]
  .map((script) => `\\p{Script=${script}}`)
  .join("");
const WORD = new RegExp(`[${UNSPACED}]|(?:(?![${UNSPACED}])[\\p{L}\\p{M}\\p{N}])+`, "gu");

/**
 * How different two texts are, from 0 to 1: 1 − the Dice similarity of their words, which is twice the number of words
 * that they share (each as often as both have it), divided by the number of words in both together. Case, punctuation
 * and the order of the words make no difference.
 */
export function differenceOf(a: string, b: string): number {
  const wordsA = wordsOf(a);
  const wordsB = wordsOf(b);
  const unmatched = new Map<string, number>();
  for (const word of wordsA) unmatched.set(word, (unmatched.get(word) ?? 0) + 1);
  let shared = 0;
  for (const word of wordsB) {
    const left = unmatched.get(word) ?? 0;
    if (left === 0) continue;
    unmatched.set(word, left - 1);
    shared += 1;
  }
  const total = wordsA.length + wordsB.length;
  return total === 0 ? 0 : 1 - (2 * shared) / total;
}

function wordsOf(text: string): string[] {
  return text.toLowerCase().match(WORD) ?? [];
}
