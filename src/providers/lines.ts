const LINE_FEED = 0x0a;

/** How many bytes to keep of a line that is too long: enough to find its request. */
const BEGINNING = 4_096;

/**
 * The lines of a text in UTF-8, separated by line feeds only, without empty lines.
 * @param longest the most bytes of a line; of a longer line only the beginning is returned
 */
export async function* splitLines(
  text: AsyncIterable<Uint8Array>,
  longest = Number.POSITIVE_INFINITY,
): AsyncGenerator<string> {
  let parts: Uint8Array[] = [];
  let bytes = 0;

  function add(part: Uint8Array): void {
    bytes += part.length;
    if (bytes > longest) parts = [Buffer.concat([...parts, part]).subarray(0, BEGINNING)];
    else parts.push(part);
  }

  function line(): string {
    const whole = parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts);
    parts = [];
    bytes = 0;
    return decoder.decode(whole);
  }

  const decoder = new TextDecoder();
  for await (const chunk of text) {
    let start = 0;
    for (let end = chunk.indexOf(LINE_FEED); end !== -1; end = chunk.indexOf(LINE_FEED, start)) {
      add(chunk.subarray(start, end));
      start = end + 1;
      const one = line();
      if (one.trim() !== "") yield one;
    }
    if (start < chunk.length) add(chunk.subarray(start));
  }
  const last = line();
  if (last.trim() !== "") yield last;
}
