import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/support/state.ts"],
    // A file of tests waits most of the time, for processes and for delays: none of the cores should be left over.
    maxWorkers: "100%",
    // Most tests start processes and wait for them.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
