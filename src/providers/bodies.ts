import {
  brotliDecompressSync,
  gunzipSync,
  inflateRawSync,
  inflateSync,
  zstdDecompressSync,
  type ZlibOptions,
} from "node:zlib";
import { errorCode } from "../errors.ts";

/** What all bodies that are being read may hold together; one alone may always be read to its end. */
const SHARED_BYTES = 64_000_000;

/** In blocks of this size small pieces are put together. */
const PIECE_BYTES = 65_536;

let sharedBytes = 0;
/** The bodies of which a part has come, the oldest first. */
const reading = new Set<Body>();
/** Those that wait for others, and how to go on with them. */
const waiting = new Map<Body, () => void>();

/** A body that is being read: at most so many bytes, which count towards what all bodies may hold together. */
export class Body {
  readonly #most: number;
  /** All but the last are full. */
  readonly #pieces: Buffer[] = [];
  /** How much of the last piece is taken. */
  #filled = 0;
  #size = 0;

  constructor(mostBytes: number) {
    this.#most = mostBytes;
  }

  /**
   * Takes a piece.
   * @param resume goes on with the body, where it has to wait for others
   * @returns "full" where the piece is too much, "wait" where no more is to be read until `resume` is called
   */
  add(piece: Buffer, resume: () => void): "more" | "wait" | "full" {
    if (this.#size + piece.length > this.#most) return "full";
    this.#append(piece);
    sharedBytes += piece.length;
    reading.add(this);
    if (sharedBytes <= SHARED_BYTES || isOldest(this)) return "more";
    waiting.set(this, resume);
    return "wait";
  }

  /** Large pieces, and the first, are kept as they are. Small ones are put together: each takes more than its bytes. */
  #append(piece: Buffer): void {
    this.#size += piece.length;
    const last = this.#pieces.at(-1);
    if (last && piece.length <= last.length - this.#filled) {
      this.#filled += piece.copy(last, this.#filled);
      return;
    }
    if (last) this.#pieces[this.#pieces.length - 1] = last.subarray(0, this.#filled);
    const isKept = !last || piece.length >= PIECE_BYTES / 2;
    const next = isKept ? piece : Buffer.allocUnsafeSlow(PIECE_BYTES);
    if (!isKept) piece.copy(next);
    this.#filled = piece.length;
    this.#pieces.push(next);
  }

  /** Whether any of it has come. */
  get hasBegun(): boolean {
    return this.#size > 0;
  }

  /** What has come. Others may go on. */
  end(): Buffer {
    if (reading.delete(this)) {
      sharedBytes -= this.#size;
      waiting.delete(this);
      if (waiting.size > 0) wakeOthers();
    }
    const [only, ...more] = this.#pieces.splice(0);
    const bytes = only && more.length > 0 ? Buffer.concat([only, ...more], this.#size) : (only ?? Buffer.alloc(0));
    this.#size = 0;
    return bytes;
  }
}

function isOldest(body: Body): boolean {
  return reading.values().next().value === body;
}

function wakeOthers(): void {
  for (const [body, resume] of waiting) {
    if (sharedBytes > SHARED_BYTES && !isOldest(body)) continue;
    waiting.delete(body);
    // Not at once: undici may be in the middle of another answer, and then goes on with none.
    setImmediate(resume);
  }
}

/** A body has more bytes than it may have, once it is decoded. */
export class TooLargeError extends Error {
  override readonly name = "TooLargeError";
}

const CODINGS: Record<string, (bytes: Buffer, options: ZlibOptions) => Buffer> = {
  gzip: gunzipSync,
  "x-gzip": gunzipSync,
  deflate: (bytes, options) => (isZlib(bytes) ? inflateSync(bytes, options) : inflateRawSync(bytes, options)),
  br: brotliDecompressSync,
  zstd: (bytes, { maxOutputLength }) =>
    zstdDecompressSync(bytes, maxOutputLength === undefined ? {} : { maxOutputLength }),
};

function isZlib(bytes: Buffer): boolean {
  return (bytes[0] ?? 0) % 16 === 8 && bytes.length > 1 && bytes.readUInt16BE(0) % 31 === 0;
}

/**
 * The text of a body. No coding is asked for, but servers may choose one all the same, and say so or not.
 * @param coding the header `content-encoding`
 * @throws TooLargeError where the text has more than `mostBytes`
 */
export function decodeBody(bytes: Buffer, coding: string, mostBytes: number): string {
  let decoded = bytes;
  const names = coding.toLowerCase().split(",").toReversed();
  for (const name of names.slice(0, 4)) decoded = decodeOne(decoded, CODINGS[name.trim()], mostBytes);
  if (isGzip(decoded)) decoded = decodeOne(decoded, gunzipSync, mostBytes);
  // What stands before the text is a mark of the byte order.
  const start = decoded[0] === 0xef && decoded[1] === 0xbb && decoded[2] === 0xbf ? 3 : 0;
  return decoded.toString("utf8", start);
}

function isGzip(bytes: Buffer): boolean {
  return bytes[0] === 0x1f && bytes[1] === 0x8b;
}

function decodeOne(bytes: Buffer, decode: (typeof CODINGS)[string] | undefined, mostBytes: number): Buffer {
  if (!decode || bytes.length === 0) return bytes;
  try {
    return decode(bytes, { maxOutputLength: mostBytes });
  } catch (error) {
    if (errorCode(error) === "ERR_BUFFER_TOO_LARGE") throw new TooLargeError("too large", { cause: error });
    // A proxy may have decoded it and left the header.
    return bytes;
  }
}
