import { UsageError } from "../errors.ts";

/** What the addresses of datasets begin with. */
const HUB_SCHEME = "hf://";

/** The branch with the Parquet files that the Hub has converted datasets into. */
export const CONVERTED = "refs/convert/parquet";

/** A dataset as the user names it. */
export interface DatasetName {
  /** `OWNER/NAME`, or only `NAME` for a dataset without an owner. */
  id: string;
  /** A branch, a tag or a commit; null if none is named. */
  revision: string | null;
}

const EXPECTED = "Expected hf://OWNER/NAME or hf://OWNER/NAME@REVISION, such as hf://openai/gsm8k.";

const PART = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,94}[A-Za-z0-9_])?$/;

/**
 * Reads `hf://OWNER/NAME[@REVISION]`. Other tools write `hf://datasets/OWNER/NAME`, which means the same.
 * @throws UsageError when it cannot be the name of a dataset
 */
export function parseDatasetName(text: string): DatasetName {
  if (!text.startsWith(HUB_SCHEME)) throw new UsageError(`${text} is not the name of a dataset`, EXPECTED);
  const whole = text.slice(HUB_SCHEME.length).replace(/^datasets\//, "");
  const at = whole.indexOf("@");
  const id = at === -1 ? whole : whole.slice(0, at);
  const revision = at === -1 ? null : whole.slice(at + 1);
  const parts = id.split("/");
  if (parts.length > 2) {
    throw new UsageError(`${text} names a file in a dataset; only whole datasets are pulled`, EXPECTED);
  }
  if (!parts.every((part) => PART.test(part) && !/--|\.\.|\.git$/.test(part))) {
    throw new UsageError(
      `${text} cannot be the name of a dataset`,
      `Names have letters, digits, "-", "_" and ".". ${EXPECTED}`,
    );
  }
  if (revision !== null && !isRevision(revision)) {
    throw new UsageError(
      `${JSON.stringify(revision)} cannot be a revision`,
      "A revision is the name of a branch or a tag, or a commit.",
    );
  }
  return { id, revision: revision === "~parquet" ? CONVERTED : revision };
}

/** Whether git allows a text as the name of a branch or a tag. */
function isRevision(text: string): boolean {
  return (
    /^(?:[\w.+~-]+\/)*[\w.+~-]+$/.test(text) && text.length <= 250 && !text.includes("..") && !text.startsWith("-")
  );
}
