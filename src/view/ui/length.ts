/** The length of a text in Unicode code points. */
export function lengthOf(text: string): number {
  let length = text.length;
  for (let at = 0; at < text.length; at += 1) {
    if (text.codePointAt(at)! > 0xffff) {
      length -= 1;
      at += 1;
    }
  }
  return length;
}
