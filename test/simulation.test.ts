import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { expect, test } from "vitest";

const SCRIPT = resolve(import.meta.dirname, "../scripts/simulate.ts");

test("300 schedules of faults, crashes, lost power, lost leases and full disks keep what always holds", () => {
  const { status, stdout, stderr } = spawnSync(process.execPath, [SCRIPT, "--count", "300"], { encoding: "utf8" });
  expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
  expect(stdout).toContain("300 passed, 0 failed");
}, 300_000);
