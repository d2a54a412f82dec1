/** The lengths of a text. */
export interface Lengths {
  /** Unicode code points. */
  characters: number;
  /** Parts between white space. */
  words: number;
  sentences: number;
}

/**
 * Measures a text in one pass, without making parts of it. A sentence ends at a full stop, a question or exclamation mark or
 * an ellipsis before white space (quotes and brackets may close between them), at the marks of Chinese and Japanese, and at
 * the end of a line.
 */
export function lengthsOf(text: string): Lengths {
  let [characters, words, sentences] = [text.length, 0, 0];
  let [inWord, hasContent, isEnded] = [false, false, false];
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    if (isSpace(unit)) {
      if (hasContent && (isEnded || isLineEnd(unit))) {
        sentences += 1;
        hasContent = false;
      }
      inWord = false;
      isEnded = false;
      continue;
    }
    if (!inWord) words += 1;
    inWord = true;
    if (unit >= 0xdc00 && unit < 0xe000 && isHighSurrogate(text.charCodeAt(at - 1))) characters -= 1;
    if (isWideEnd(unit)) {
      sentences += 1;
      hasContent = false;
      isEnded = false;
    } else if (isEnd(unit)) {
      hasContent = true;
      isEnded = true;
    } else if (!isClosing(unit)) {
      hasContent = true;
      isEnded = false;
    }
  }
  return { characters, words, sentences: hasContent ? sentences + 1 : sentences };
}

/** The same units as `spacedWords` splits at. */
function isSpace(unit: number): boolean {
  if (unit <= 0x20) return unit === 0x20 || (unit >= 0x09 && unit <= 0x0d) || unit >= 0x1c;
  if (unit < 0x1680) return unit === 0x85 || unit === 0xa0;
  return (
    unit === 0x1680 ||
    (unit >= 0x2000 && unit <= 0x200a) ||
    unit === 0x2028 ||
    unit === 0x2029 ||
    unit === 0x202f ||
    unit === 0x205f ||
    unit === 0x3000
  );
}

function isLineEnd(unit: number): boolean {
  return unit === 0x0a || unit === 0x0d || unit === 0x85 || unit === 0x2028 || unit === 0x2029;
}

function isHighSurrogate(unit: number): boolean {
  return unit >= 0xd800 && unit < 0xdc00;
}

/** `.`, `!`, `?` and `…`. */
function isEnd(unit: number): boolean {
  return unit === 0x2e || unit === 0x21 || unit === 0x3f || unit === 0x2026;
}

/** `。`, `！` and `？`. */
function isWideEnd(unit: number): boolean {
  return unit === 0x3002 || unit === 0xff01 || unit === 0xff1f;
}

const CLOSING = new Set([...`"'”’“»«)]}」』）`].map((mark) => mark.charCodeAt(0)));

/** Letters and digits of ASCII, which are most of the units, need no look into the set. */
function isClosing(unit: number): boolean {
  return (unit < 0x30 || unit > 0x7a || unit === 0x5d) && CLOSING.has(unit);
}
