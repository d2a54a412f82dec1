import { availableParallelism } from "node:os";
import { defineConfig } from "vitest/config";
import { BaseSequencer, type TestSpecification } from "vitest/node";
import { rounds } from "./test/support/rounds.ts";

/** The files that take longest, in this order. Short files last keep all cores busy until the end. */
const LONGEST = [
  "queue-kill",
  "worker",
  "queue",
  "leases",
  "stats",
  "conformance/executor",
  "view-live",
  "wal",
  "experiments",
  "cli",
  "view-page",
  "resume",
  "conformance/provider-failures",
  "docs",
  "simulation",
  "batch-ends",
  "batch-kill",
  "import",
  "interrupt",
  "hub",
  "recovery",
  "servers",
  "patience",
  "money",
  "provider-kill",
  "package",
  "view-api",
];

class LongestFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const place = ({ moduleId }: TestSpecification) => {
      const at = LONGEST.findIndex((name) => moduleId.endsWith(`/test/${name}.test.ts`));
      return at === -1 ? LONGEST.length : at;
    };
    // oxlint-disable-next-line unicorn/no-array-sort -- a method of vitest's
    const sorted = await super.sort(files);
    return sorted.toSorted((one, other) => place(one) - place(other));
  }
}

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/support/state.ts"],
    sequence: { sequencer: LongestFirst },
    // A file waits for a good part of its time, for delays and for processes: with one file for each core, cores are idle.
    maxWorkers: Math.ceil(1.5 * availableParallelism()),
    // Most tests start processes and wait for them.
    testTimeout: rounds(150_000, 1_200_000),
    hookTimeout: 150_000,
  },
});
