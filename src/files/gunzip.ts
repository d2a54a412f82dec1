import { pipeline, Readable } from "node:stream";
import { createGunzip } from "node:zlib";
import { errorCode, errorMessage, UsageError } from "../errors.ts";
import { kindOfFile } from "./file-kind.ts";

/**
 * Unpacks bytes of gzip as a stream.
 * @throws UsageError when they are no gzip, broken or cut off
 */
export async function* gunzipped(bytes: AsyncIterable<Buffer>, path: string): AsyncGenerator<Buffer> {
  const gunzip = createGunzip({ chunkSize: 1 << 18 });
  // An error of either stream ends the other, and comes out of the loop below.
  pipeline(Readable.from(checked(bytes, path)), gunzip, () => {});
  try {
    for await (const chunk of gunzip as AsyncIterable<Buffer>) yield chunk;
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw errorCode(error) === "Z_BUF_ERROR"
      ? new UsageError(`${path} is cut off: its gzip data ends too early`, "Is the file complete? Copy it again.")
      : new UsageError(`${path} cannot be unpacked: ${errorMessage(error)}`, "Is it a gzip file, and complete?", error);
  }
}

async function* checked(bytes: AsyncIterable<Buffer>, path: string): AsyncGenerator<Buffer> {
  let isBegin = true;
  for await (const chunk of bytes) {
    if (isBegin && !(chunk[0] === 0x1f && chunk[1] === 0x8b)) {
      const kind = kindOfFile(chunk, path);
      const found = kind === null ? "is not a gzip file" : `is ${kind.name}, not a gzip file`;
      throw new UsageError(`${path} ${found}`, "Its name must end in .gz only if it is compressed.");
    }
    isBegin = false;
    yield chunk;
  }
  if (isBegin) throw new UsageError(`${path} is empty, not a gzip file`);
}
