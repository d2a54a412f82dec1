import { createRequire } from "node:module";

// Put in by the build; the sources read package.json and know no commit.
declare const DATAGEN_VERSION: string | undefined;
declare const DATAGEN_COMMIT: string | null | undefined;

/** The tool's version, and the git commit that it was built from where that is known. */
export function toolVersion(): { version: string; gitCommit: string | null } {
  if (typeof DATAGEN_VERSION === "string") return { version: DATAGEN_VERSION, gitCommit: DATAGEN_COMMIT ?? null };
  const { version } = createRequire(import.meta.url)("../../package.json") as { version: string };
  return { version, gitCommit: null };
}
