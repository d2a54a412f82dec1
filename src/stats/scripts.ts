/** Scripts that are told apart. Chinese and Japanese are one, since a Japanese text has characters of both. */
const SCRIPTS: readonly [name: string, letter: RegExp][] = [
  ["Latin", /\p{Script=Latin}/u],
  ["Cyrillic", /\p{Script=Cyrillic}/u],
  ["Greek", /\p{Script=Greek}/u],
  ["Arabic", /\p{Script=Arabic}/u],
  ["Hebrew", /\p{Script=Hebrew}/u],
  ["Devanagari", /\p{Script=Devanagari}/u],
  ["Bengali", /\p{Script=Bengali}/u],
  ["Tamil", /\p{Script=Tamil}/u],
  ["Thai", /\p{Script=Thai}/u],
  ["Hangul", /\p{Script=Hangul}/u],
  ["Han", /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}]/u],
];

/** A text with fewer letters has no script. */
const FEWEST_LETTERS = 5;
/** How many characters are looked at. */
const SEARCHED = 2_000;
const NONE = 255;

let unitScripts: Uint8Array | null = null;

/** The script of every code unit, by its place in {@link SCRIPTS}. */
function scriptsOfUnits(): Uint8Array {
  const scripts = new Uint8Array(0x10000).fill(NONE);
  const letter = /\p{L}/u;
  for (let unit = 0; unit < scripts.length; unit += 1) {
    const character = String.fromCharCode(unit);
    if (!letter.test(character)) continue;
    const at = SCRIPTS.findIndex(([, expression]) => expression.test(character));
    if (at !== -1) scripts[unit] = at;
  }
  return scripts;
}

/** The script that most letters of a text have; null if it has too few letters. */
export function scriptOf(text: string): string | null {
  const scripts = (unitScripts ??= scriptsOfUnits());
  const counts = new Uint32Array(SCRIPTS.length);
  for (let at = 0; at < Math.min(text.length, SEARCHED); at += 1) {
    const script = scripts[text.charCodeAt(at)] as number;
    if (script !== NONE) counts[script] = (counts[script] as number) + 1;
  }
  const most = Math.max(...counts);
  return most < FEWEST_LETTERS ? null : (SCRIPTS[counts.indexOf(most)]?.[0] ?? null);
}
