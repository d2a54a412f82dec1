import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

/** The program that opens a file in the user's browser. It is started without a shell. */
const OPENERS: Partial<Record<NodeJS.Platform, [program: string, ...args: string[]]>> = {
  darwin: ["open"],
  win32: ["rundll32", "url.dll,FileProtocolHandler"],
};

/**
 * Opens an address in the user's browser. All users of a machine see the arguments of its programs, so the browser gets a
 * file that only this user can read, which leads to the address.
 * @returns what removes the file
 * @throws Error when no browser can be opened
 */
export async function openBrowser(url: string): Promise<() => void> {
  const folder = mkdtempSync(join(tmpdir(), "datagen-view-"));
  const remove = () => rmSync(folder, { recursive: true, force: true });
  try {
    const file = join(folder, "open.html");
    writeFileSync(file, `<!doctype html><meta http-equiv="refresh" content="0;url=${url}">`, { mode: 0o600 });
    const [program, ...args] = OPENERS[process.platform] ?? ["xdg-open"];
    const child = spawn(program, [...args, pathToFileURL(file).href], { stdio: "ignore", detached: true });
    // It rejects if there is no such program.
    await once(child, "spawn");
    child.unref();
    return remove;
  } catch (error) {
    remove();
    throw error;
  }
}
