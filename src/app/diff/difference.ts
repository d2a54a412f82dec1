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
  return differenceOfWords(countWords(a), countWords(b));
}

/** The mean difference of all pairs of two or more texts. */
export function meanDifference(texts: readonly string[]): number {
  const counted = new Map([...new Set(texts)].map((text) => [text, countWords(text)]));
  const words = texts.flatMap((text) => counted.get(text) ?? []);
  const pairs = words.flatMap((one, at) => words.slice(at + 1).map((other) => differenceOfWords(one, other)));
  return pairs.reduce((sum, difference) => sum + difference, 0) / pairs.length;
}

/** The words of a text, each with the number of times that it occurs. */
interface Words {
  total: number;
  times: ReadonlyMap<string, number>;
}

function countWords(text: string): Words {
  const words: string[] = text.toLowerCase().match(WORD) ?? [];
  const times = new Map<string, number>();
  for (const word of words) times.set(word, (times.get(word) ?? 0) + 1);
  return { total: words.length, times };
}

function differenceOfWords(a: Words, b: Words): number {
  const total = a.total + b.total;
  if (a === b || total === 0) return 0;
  let shared = 0;
  for (const [word, times] of a.times) shared += Math.min(times, b.times.get(word) ?? 0);
  return 1 - (2 * shared) / total;
}
