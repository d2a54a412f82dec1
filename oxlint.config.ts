import { defineConfig, type OxlintOverride } from "oxlint";

/**
 * The rooms of `src/`, and which other rooms each may import: `values` whole modules, `types` their types alone.
 * Every room may import `errors.ts`, and `cli` may import every room.
 */
const ROOMS: Record<string, { values: readonly string[]; types?: readonly string[] }> = {
  app: {
    values: [
      "config",
      "files",
      "dataset",
      "sources",
      "plan",
      "estimate",
      "store",
      "execute",
      "export",
      "stats",
      "providers",
      "models",
      "hub",
      "view",
      "queue",
    ],
  },
  config: { values: ["files"] },
  dataset: { values: ["files", "sources"] },
  sources: { values: ["files"], types: ["config"] },
  plan: { values: ["config", "models"] },
  estimate: { values: ["plan", "models"], types: ["config", "sources", "store"] },
  store: { values: ["plan"], types: ["config", "models"] },
  execute: { values: ["plan", "store", "providers", "models", "queue"], types: ["config"] },
  queue: { values: ["config", "files"], types: ["models", "providers"] },
  providers: { values: ["models", "network"], types: ["config"] },
  hub: { values: ["network"] },
  models: { values: [], types: ["config"] },
  export: { values: ["config", "store", "plan"] },
  view: { values: [], types: ["app", "stats"] },
  stats: { values: ["config"] },
  files: { values: [] },
  network: { values: [] },
};

const directions = Object.entries(ROOMS).map(([room, { values, types = [] }]): OxlintOverride => {
  const others = [...Object.keys(ROOMS), "cli"].filter((other) => other !== room && !values.includes(other));
  const patterns = others.map((other) => ({
    group: [`**/../${other}/**`],
    allowTypeImports: types.includes(other),
    message: `${room} may import ${types.includes(other) ? `types of ${other} only` : `nothing of ${other}`}; see ROOMS in oxlint.config.ts.`,
  }));
  return { files: [`src/${room}/**`], rules: { "no-restricted-imports": ["error", { patterns }] } };
});

export default defineConfig({
  plugins: ["typescript", "unicorn", "oxc", "import", "promise", "node"],
  categories: { correctness: "error", suspicious: "error", perf: "error" },
  rules: {
    "no-console": "error",
    "typescript/no-floating-promises": "error",
    "typescript/no-misused-promises": "error",
    "typescript/switch-exhaustiveness-check": "off",
    "typescript/no-explicit-any": "error",
    "typescript/consistent-type-imports": "error",
    "typescript/no-deprecated": "error",
    "import/no-default-export": "error",
    "import/no-cycle": ["error", { ignoreTypes: false }],
    "no-await-in-loop": "off",
    "typescript/no-unsafe-type-assertion": "off",
    "typescript/no-misused-spread": "off",
    "oxc/no-map-spread": "off",
    "unicorn/consistent-function-scoping": "off",
    "import/no-named-as-default-member": "off",
    // Threads have no origins.
    "unicorn/require-post-message-target-origin": "off",
  },
  overrides: [
    ...directions,
    { files: ["src/**"], rules: { "max-lines": ["error", 350], "max-lines-per-function": ["error", 80] } },
    { files: ["test/**"], rules: { "import/no-cycle": ["error", { ignoreTypes: true }] } },
    { files: ["*.config.ts"], rules: { "import/no-default-export": "off" } },
  ],
  ignorePatterns: ["dist", "node_modules"],
});
