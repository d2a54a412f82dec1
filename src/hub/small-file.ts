import { constants } from "node:fs";
import { open } from "node:fs/promises";
import { errorCode } from "../errors.ts";

/**
 * The text of a small file that somebody else may have put there; null if there is none.
 * @throws Error when it is no regular file, is larger than `mostBytes`, or cannot be read
 */
export async function readSmallFile(path: string, mostBytes: number): Promise<string | null> {
  try {
    // Opening a pipe would block.
    await using file = await open(path, constants.O_RDONLY | (constants.O_NONBLOCK ?? 0) | (constants.O_NOFOLLOW ?? 0));
    const stat = await file.stat();
    if (!stat.isFile()) throw new Error("it is not a regular file");
    if (stat.size > mostBytes) throw new Error(`it is larger than ${mostBytes} bytes`);
    return await file.readFile("utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw error;
  }
}
