import { spawnSync } from "node:child_process";
import { resolve } from "node:path";
import { expect, test } from "vitest";
import { rounds } from "./support/rounds.ts";

const SCRIPT = resolve(import.meta.dirname, "../scripts/simulate.ts");

test(
  "schedules of faults, crashes, lost power, lost leases and full disks keep what always holds",
  () => {
    const count = rounds(100, 2_000);
    const { status, stdout, stderr } = spawnSync(process.execPath, [SCRIPT, "--count", String(count)], {
      encoding: "utf8",
    });
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toContain(`${count} passed, 0 failed`);
  },
  rounds(300_000, 1_800_000),
);
