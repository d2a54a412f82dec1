import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll } from "vitest";

// Tests that call the library in this process leave nothing in the user's state folder, and find nothing there.
const folder = mkdtempSync(join(tmpdir(), "datagen-state-"));
process.env["XDG_STATE_HOME"] = folder;
afterAll(() => rmSync(folder, { recursive: true, force: true }));
