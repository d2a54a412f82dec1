import { createRequire } from "node:module";

// The build defines these. When the sources run directly, the version comes from package.json, and there is no commit.
declare const DATAGEN_VERSION: string | undefined;
declare const DATAGEN_COMMIT: string | null | undefined;

/** The version of datagen, and the git commit that it was built from; null if unknown. */
export function toolVersion(): { version: string; gitCommit: string | null } {
  if (typeof DATAGEN_VERSION === "string") return { version: DATAGEN_VERSION, gitCommit: DATAGEN_COMMIT ?? null };
  const { version } = createRequire(import.meta.url)("../../package.json") as { version: string };
  return { version, gitCommit: null };
}
