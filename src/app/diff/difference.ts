// In scripts without spaces between words, each character counts as a word. Elsewhere a word is a run of letters and digits.
const UNSPACED = ["Han", "Hiragana", "Katakana", "Thai", "Lao", "Khmer", "Myanmar"]
  .map((script) => `\\p{Script=${script}}`)
  .join("");
const WORD = new RegExp(`[${UNSPACED}]|(?:(?![${UNSPACED}])[\\p{L}\\p{M}\\p{N}])+`, "gu");

/**
 * How different two texts are, from 0 to 1: 1 − the Dice similarity of their words. That is twice the number of words that
 * they share, divided by the number of all words in both. A word that occurs several times in both is shared several
 * times. Case, punctuation and order make no difference.
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
