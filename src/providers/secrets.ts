/** Shorter keys are placeholders, such as `none`, which occur as ordinary words too. Only whole words of messages are hidden. */
const SHORTEST_SECRET = 8;

const HIDDEN = "[key]";

/** A server's message, id or name without the key that it was sent. */
export function withoutKey(text: string, key: string | undefined): string {
  if (!key || !text.includes(key)) return text;
  if (key.length >= SHORTEST_SECRET) return text.replaceAll(key, HIDDEN);
  const parts = text.split(key);
  return parts.slice(1).reduce((done, part, at) => {
    const isWord = !/[\p{L}\p{N}_]$/u.test(parts[at] ?? "") && !/^[\p{L}\p{N}_]/u.test(part);
    return `${done}${isWord ? HIDDEN : key}${part}`;
  }, parts[0] ?? "");
}

/** The text of an answer, or the name of a model, without the key; a placeholder stays. */
export function answerWithoutKey(text: string, key: string | undefined): string {
  return key !== undefined && key.length >= SHORTEST_SECRET ? withoutKey(text, key) : text;
}
