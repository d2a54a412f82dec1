import { randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { stat } from "node:fs/promises";

/**
 * A form with a file that is read from disk as it is sent. The built-in form reads ahead, and would hold the whole file in
 * memory. No name or value may contain a quote or a line break.
 */
export async function uploadForm(
  path: string,
  name: string,
  fields: Record<string, string>,
): Promise<{ headers: Record<string, string>; body: AsyncIterable<Uint8Array> }> {
  const boundary = `datagen-${randomUUID()}`;
  const part = (disposition: string) => `--${boundary}\r\nContent-Disposition: form-data; ${disposition}\r\n`;
  const values = Object.entries(fields).map(([field, value]) => `${part(`name="${field}"`)}\r\n${value}\r\n`);
  const file = `${part(`name="file"; filename="${name}"`)}Content-Type: application/jsonl\r\n\r\n`;
  const head = Buffer.from(`${values.join("")}${file}`);
  const tail = Buffer.from(`\r\n--${boundary}--\r\n`);
  const { size } = await stat(path);
  async function* body(): AsyncGenerator<Uint8Array> {
    yield head;
    yield* createReadStream(path);
    yield tail;
  }
  const headers = {
    "content-type": `multipart/form-data; boundary=${boundary}`,
    "content-length": String(head.length + size + tail.length),
  };
  return { headers, body: body() };
}
