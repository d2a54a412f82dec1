import { brotliDecompressSync, gunzipSync, zstdDecompressSync } from "node:zlib";
import { compressors } from "hyparquet-compressors";
import { errorMessage } from "../../errors.ts";
import { counted, Damage } from "./damage.ts";

type Decompress = (bytes: Buffer, length: number) => Uint8Array;

/** The codecs by number. Null for those that are not read. */
const CODECS: readonly { name: string; run: Decompress | null }[] = [
  { name: "none", run: (bytes) => bytes },
  { name: "Snappy", run: compressors.SNAPPY ?? null },
  { name: "gzip", run: (bytes, length) => gunzipSync(bytes, limit(length)) },
  { name: "LZO", run: null },
  { name: "Brotli", run: (bytes, length) => brotliDecompressSync(bytes, limit(length)) },
  { name: "LZ4", run: compressors.LZ4 ?? null },
  { name: "Zstandard", run: (bytes, length) => zstdDecompressSync(bytes, limit(length)) },
  { name: "raw LZ4", run: compressors.LZ4_RAW ?? null },
];

/** Node's own decompressors stop at the length that the page claims. They get room for all of it, and a little more. */
function limit(length: number): { maxOutputLength: number; chunkSize: number } {
  return { maxOutputLength: Math.max(length, 1), chunkSize: length + 64 };
}

/** @throws Damage if a codec is not read */
export function checkCodec(codec: number): void {
  const known = CODECS[codec];
  if (known?.run) return;
  const names = CODECS.filter(({ run }) => run).map(({ name }) => name);
  throw new Damage(
    `it is compressed with ${known?.name ?? `the unknown codec ${codec}`}; expected one of ${names.join(", ")}`,
  );
}

/**
 * @param length how many bytes there must be in the end
 * @throws Damage
 */
export function decompress(bytes: Buffer, length: number, codec: number): Buffer {
  const { name, run } = CODECS[codec] ?? {};
  let result: Uint8Array | undefined;
  try {
    result = run?.(bytes, length);
  } catch (error) {
    throw new Damage(`cannot be decompressed (${name}): ${errorMessage(error)}`);
  }
  if (result?.length !== length) {
    throw new Damage(`claims ${counted(length)} bytes, but has ${counted(result?.length ?? 0)} after decompression`);
  }
  return Buffer.from(result.buffer, result.byteOffset, result.byteLength);
}

/** Gives the memory of decompressed bytes back at once. The garbage collector would wait until there is much of it. */
export function release({ buffer, byteLength }: Buffer): void {
  // Small buffers share their memory.
  if (byteLength > Buffer.poolSize && buffer instanceof ArrayBuffer) buffer.transfer(0);
}
