import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    setupFiles: ["test/support/state.ts"],
    // Most tests start processes and wait for them.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
});
