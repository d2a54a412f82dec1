// Bundles the bin and the library into dist/, and writes the types of the library beside them.
import { execFileSync } from "node:child_process";
import { chmodSync, copyFileSync, readFileSync, rmSync } from "node:fs";
import { isBuiltin } from "node:module";
import { build, type Plugin } from "esbuild";

const manifest = JSON.parse(readFileSync("package.json", "utf8")) as {
  version: string;
  dependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
};
const { version } = manifest;
const dependencies = { ...manifest.dependencies, ...manifest.optionalDependencies };

/** Packages that start faster from the bundle. All others are native or large, and are loaded when they are used. */
const BUNDLED = new Set([
  "@anthropic-ai/sdk",
  "cli-table3",
  "clipanion",
  "drizzle-orm",
  "jsonc-parser",
  "leven",
  "openai",
  "p-limit",
  "string-width",
  "together-ai",
  "typanion",
  "zod",
]);

const missing = [...BUNDLED].filter((name) => !(name in dependencies));
if (missing.length > 0) throw new Error(`${missing.join(", ")} of BUNDLED is not a dependency in package.json`);

/** Fails where a source imports a package that is not a dependency: it would be bundled, or missing for users. */
const onlyDependencies: Plugin = {
  name: "only-dependencies",
  setup(bundle) {
    bundle.onResolve({ filter: /^[^./]/ }, ({ path, importer, kind }) => {
      if (kind === "entry-point" || importer.includes("node_modules") || isBuiltin(path)) return undefined;
      const name = path
        .split("/")
        .slice(0, path.startsWith("@") ? 2 : 1)
        .join("/");
      if (name in dependencies) return undefined;
      return { errors: [{ text: `${name} is not a dependency in package.json` }] };
    });
  },
};

/** Loads Node's crypto only when it is called. Loading it takes a tenth of the time of commands that do not use it. */
const lazyCrypto: Plugin = {
  name: "lazy-crypto",
  setup(bundle) {
    bundle.onResolve({ filter: /^(node:)?crypto$/ }, () => ({ path: "crypto", namespace: "lazy" }));
    bundle.onLoad({ filter: /^crypto$/, namespace: "lazy" }, () => ({
      contents: ["createHash", "hash", "randomBytes", "randomUUID", "timingSafeEqual"]
        .map((name) => `export const ${name} = (...args) => process.getBuiltinModule("node:crypto").${name}(...args);`)
        .concat("export default { createHash };")
        .join("\n"),
    }));
  },
};

/** Makes tables measure texts with the same package that cuts them, not with an older copy that reads each text twice. */
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
  entryPoints: [
    { in: "src/main.ts", out: "main" },
    { in: "src/index.ts", out: "index" },
    { in: "src/app/view/worker.ts", out: "view/worker" },
    { in: "src/app/view/statistics-worker.ts", out: "view/statistics-worker" },
  ],
  outdir: "dist",
  bundle: true,
  splitting: true,
  format: "esm",
  platform: "node",
  target: "node22.19",
  chunkNames: "chunks/[name]-[hash]",
  // Use the module builds of packages, because a bundle cannot follow some calls of `require`.
  mainFields: ["module", "main"],
  external: Object.keys(dependencies).filter((name) => !BUNDLED.has(name)),
  plugins: [lazyCrypto, oneWidth, onlyDependencies],
  define: { DATAGEN_VERSION: JSON.stringify(version), DATAGEN_COMMIT: JSON.stringify(commit()) },
  banner: {
    // Bundled CommonJS packages load Node's modules with `require`.
    js: 'import { createRequire as __createRequire } from "node:module"; const require = __createRequire(import.meta.url);',
  },
  logLevel: "warning",
});
await build({
  entryPoints: [
    { in: "src/view/ui/main.tsx", out: "view/app" },
    { in: "src/view/ui/app.css", out: "view/app" },
  ],
  outdir: "dist",
  bundle: true,
  minify: true,
  format: "iife",
  platform: "browser",
  target: ["chrome111", "firefox113", "safari16.4"],
  tsconfig: "src/view/ui/tsconfig.json",
  define: { "process.env.NODE_ENV": '"production"' },
  logLevel: "warning",
});
copyFileSync("src/view/ui/index.html", "dist/view/index.html");
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
