// Bundles the bin and the library into dist/, and writes the types of the library beside them.
import { execFileSync } from "node:child_process";
import { chmodSync, readFileSync, rmSync } from "node:fs";
import { build, type Plugin } from "esbuild";

const { version, dependencies } = JSON.parse(readFileSync("package.json", "utf8")) as {
  version: string;
  dependencies: Record<string, string>;
};

/** Packages that start faster from the bundle. All others are native or large: each is loaded where it is used. */
const BUNDLED = new Set([
  "cli-table3",
  "clipanion",
  "drizzle-orm",
  "jsonc-parser",
  "leven",
  "p-limit",
  "string-width",
  "typanion",
]);

/** Loads Node's crypto where something of it is called: it takes a tenth of the time of commands that need none of it. */
const lazyCrypto: Plugin = {
  name: "lazy-crypto",
  setup(bundle) {
    bundle.onResolve({ filter: /^(node:)?crypto$/ }, () => ({ path: "crypto", namespace: "lazy" }));
    bundle.onLoad({ filter: /^crypto$/, namespace: "lazy" }, () => ({
      contents: ["createHash", "randomBytes", "randomUUID"]
        .map((name) => `export const ${name} = (...args) => process.getBuiltinModule("node:crypto").${name}(...args);`)
        .concat("export default { createHash };")
        .join("\n"),
    }));
  },
};

/** Has tables measure texts as what cuts them does, and not with an older copy of the same that reads them twice. */
const oneWidth: Plugin = {
  name: "one-width",
  setup(bundle) {
    bundle.onResolve({ filter: /^string-width$/ }, ({ importer }) =>
      importer.includes("cli-table3") ? { path: "width", namespace: "table" } : undefined,
    );
    bundle.onLoad({ filter: /^width$/, namespace: "table" }, () => ({
      contents: 'module.exports = require("./src/cli/render/width.ts").widthOf;',
      resolveDir: ".",
    }));
  },
};

rmSync("dist", { recursive: true, force: true });
await build({
  entryPoints: ["src/main.ts", "src/index.ts"],
  outdir: "dist",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node22.19",
  chunkNames: "chunks/[name]-[hash]",
  // The module builds of packages, which have no calls of `require` that a bundle cannot follow.
  mainFields: ["module", "main"],
  external: Object.keys(dependencies).filter((name) => !BUNDLED.has(name)),
  plugins: [lazyCrypto, oneWidth],
  define: { DATAGEN_VERSION: JSON.stringify(version), DATAGEN_COMMIT: JSON.stringify(commit()) },
  banner: {
    // Bundled CommonJS packages ask for Node's own modules with `require`.
    js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
  },
  logLevel: "warning",
});
chmodSync("dist/main.js", 0o755);
execFileSync(process.execPath, ["node_modules/typescript/bin/tsc", "-p", "scripts/tsconfig.types.json"], {
  stdio: "inherit",
});

/** The commit that is checked out, or null outside a repository. */
function commit(): string | null {
  try {
    return execFileSync("git", ["rev-parse", "HEAD"], { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return null;
  }
}
