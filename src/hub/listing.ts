import { z } from "zod";
import { StoppedError, UsageError } from "../errors.ts";
import { cardConfigs, type Placed, placedByCard, placedByName } from "./card.ts";
import type { Hub } from "./hub.ts";
import { CONVERTED, type DatasetName } from "./names.ts";

/** A Parquet file of a dataset. */
export interface RemoteFile {
  config: string;
  split: string;
  /** In the folder of the dataset, with slashes. As the Hub says it: it may not be safe. */
  path: string;
  /** Where the Hub has it, below its endpoint. */
  url: string;
  /** The commit that the URL names; null if it names a branch. */
  commit: string | null;
  /** Null if the list does not say it. */
  size: number | null;
  sha256: string | null;
}

/** The Parquet files of a dataset, and what they are. */
export interface Listing {
  /** The name of the revision that has the files. */
  revision: string;
  commit: string;
  license: string | null;
  files: readonly RemoteFile[];
  warnings: readonly string[];
}

/** Ten terabytes. */
const LARGEST_FILE = 1e13;

const sha256 = z.string().regex(/^[\da-f]{64}$/);
const sibling = z.object({
  rfilename: z.string(),
  size: z.int().min(0).max(LARGEST_FILE).nullish(),
  lfs: z.object({ sha256: sha256.nullish(), size: z.int().min(0).max(LARGEST_FILE).nullish() }).nullish(),
});
const text = z.string().max(1_000);
const answer = z.object({
  sha: z.string().regex(/^[\w.-]{4,64}$/),
  siblings: z.array(sibling),
  tags: z.array(z.string()).nullish().catch(null),
  cardData: z
    .object({
      license: z
        .union([text, z.array(text).max(100)])
        .nullish()
        .catch(null),
      license_name: text.nullish().catch(null),
      configs: cardConfigs.nullish().catch(null),
    })
    .nullish()
    .catch(null),
});
const conversion = z.record(z.string(), z.record(z.string(), z.array(z.string())));

type Answer = z.infer<typeof answer>;

/**
 * Lists the Parquet files of a dataset: its own ones at the revision that is named, or, if none is named and its own files
 * are in another format, those that the Hub has converted it into.
 * @throws UsageError when there is no such dataset or revision, or when it has no Parquet files
 */
export async function listFiles(hub: Hub, { id, revision }: DatasetName): Promise<Listing> {
  const own = await describe(hub, id, revision ?? "main");
  const facts = { revision: revision ?? "main", commit: own.sha, license: licenseOf(own), warnings: [] };
  const placed = ownFiles(own, revision !== null);
  if (placed.length > 0) return { ...facts, files: placed.map((one) => remote(id, own.sha, one)) };
  if (revision === null) return await convertedFiles(hub, id, facts);
  throw new UsageError(
    `${id} has no Parquet files of its own at ${revision}`,
    `Without @${revision}, the files are pulled that the Hub has converted the current state of the dataset into.`,
  );
}

/** What the Hub says of a revision: its commit, its files, and the dataset's card. */
async function describe(hub: Hub, id: string, revision: string): Promise<Answer> {
  const path = `/api/datasets/${id}/revision/${encodeURIComponent(revision)}?blobs=true`;
  return understood(answer, await hub.json(path, `${id} has no revision ${revision}`), path);
}

function understood<T>(schema: z.ZodType<T>, value: unknown, path: string): T {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new StoppedError(
    `the Hub answers ${path} in a form that is not known (at ${issue?.path.join(".") || "the top"}: ${issue?.message})`,
    "Check HF_ENDPOINT.",
  );
}

function licenseOf({ cardData, tags }: Answer): string | null {
  const { license, license_name: name } = cardData ?? {};
  const named = [license ?? []].flat();
  if (named.length === 1 && named[0] === "other" && name) return name;
  if (named.length > 0) return named.join(", ");
  return tags?.find((tag) => tag.startsWith("license:"))?.slice("license:".length, 1_000) ?? null;
}

type OwnFile = Pick<RemoteFile, "path" | "size" | "sha256">;

/**
 * The Parquet files of a repository by config and split.
 * @param isAsked whether its own files are asked for; otherwise there are none if it has data in other formats, too
 */
function ownFiles({ siblings, cardData }: Answer, isAsked: boolean): Placed<OwnFile>[] {
  const files = siblings.map(({ rfilename: path, size, lfs }) => ({
    path,
    size: size ?? lfs?.size ?? null,
    sha256: lfs?.sha256 ?? null,
  }));
  const placed = cardData?.configs ? placedByCard(cardData.configs, files) : [];
  const parquet = placed.filter(({ file }) => isParquet(file));
  if (parquet.length > 0) return isAsked || parquet.length === placed.length ? parquet : [];
  const hasOthers = placed.length > 0 || files.some(({ path }) => isOtherData(path));
  return hasOthers && !isAsked ? [] : placedByName(files.filter(isParquet));
}

function isParquet({ path }: OwnFile): boolean {
  return path.endsWith(".parquet");
}

/** Whether a file has data in another format, or is the script that makes the dataset. */
function isOtherData(path: string): boolean {
  if (/(?:^|\/)dataset_(?:infos?|dict)\.json$/.test(path)) return false;
  return /\.(?:csv|tsv|jsonl?|ndjson|arrow|py)(?:\.\w+)?$|\.(?:zip|tar|tgz)$/i.test(path);
}

function remote(id: string, commit: string, { config, split, file }: Placed<OwnFile>): RemoteFile {
  return { config, split, ...file, url: resolveUrl(id, commit, file.path), commit };
}

function resolveUrl(id: string, revision: string, path: string): string {
  return `/datasets/${id}/resolve/${encodeURIComponent(revision)}/${path.split("/").map(encodeURIComponent).join("/")}`;
}

type Facts = Pick<Listing, "commit" | "license">;

/** The files that the Hub has converted a dataset into. */
async function convertedFiles(hub: Hub, id: string, { commit, license }: Facts): Promise<Listing> {
  const path = `/api/datasets/${id}/parquet`;
  const nothing = new UsageError(
    `${id} has no Parquet files, and the Hub has not converted it`,
    "The Hub converts public datasets a while after they were uploaded. Download the files of this one, and name them in data_config.",
  );
  const listed = understood(conversion, await hub.json(path, nothing.message), path);
  const branch = await describe(hub, id, CONVERTED).catch((error: unknown) => {
    // Some mirrors have only the list.
    if (error instanceof UsageError) return null;
    throw error;
  });
  const warnings: string[] = [];
  const files = Object.entries(listed).flatMap(([config, splits]) =>
    Object.entries(splits).flatMap(([split, urls]) => {
      const pinned = branch && pinnedFiles(id, branch, config, split);
      if (pinned?.length !== urls.length) return urls.map((url) => listedFile(id, config, split, url));
      if (pinned.some((file) => file.path.startsWith(`${config}/partial-`))) {
        warnings.push(`the Hub has converted only the first part of ${config}/${split}`);
      }
      return pinned;
    }),
  );
  if (files.length === 0) throw nothing;
  return { revision: CONVERTED, commit: branch?.sha ?? commit, license, files, warnings };
}

/** The files of a split on the branch of converted files, in their order. If the split is large, the Hub converts a part. */
function pinnedFiles(id: string, { sha, siblings }: Answer, config: string, split: string): RemoteFile[] {
  const folders = [`${config}/${split}/`, `${config}/partial-${split}/`];
  return siblings
    .filter(({ rfilename: path }) => path.endsWith(".parquet") && folders.some((folder) => path.startsWith(folder)))
    .toSorted((a, b) => (a.rfilename < b.rfilename ? -1 : 1))
    .map(({ rfilename: path, size, lfs }) =>
      remote(id, sha, { config, split, file: { path, size: size ?? lfs?.size ?? null, sha256: lfs?.sha256 ?? null } }),
    );
}

/** A file of which only the URL is known. Only its path counts, because all requests go to the endpoint. */
function listedFile(id: string, config: string, split: string, listed: string): RemoteFile {
  const { pathname } = URL.parse(listed, "https://huggingface.co") ?? { pathname: "" };
  const start = pathname.search(/\/(?:api\/)?datasets\//);
  const name = decoded(/\/([^/]+\.parquet)$/.exec(pathname)?.[1] ?? "");
  if (start === -1 || name === "") {
    throw new UsageError(
      `the Hub lists ${JSON.stringify(listed.slice(0, 300))} as a Parquet file of ${id}`,
      "Check HF_ENDPOINT.",
    );
  }
  return {
    config,
    split,
    path: `${config}/${split}/${name}`,
    url: pathname.slice(start),
    commit: null,
    size: null,
    sha256: null,
  };
}

/** A part of a path without its percent signs; empty if they are none of UTF-8. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return "";
  }
}
