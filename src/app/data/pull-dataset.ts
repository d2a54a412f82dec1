import { existsSync } from "node:fs";
import { join } from "node:path";
import { DatagenError, errorCode, InterruptedError, UsageError } from "../../errors.ts";
import { chooseFiles } from "../../hub/choose.ts";
import { download } from "../../hub/download.ts";
import { fileOnDisk, makeFolders } from "../../hub/folder.ts";
import { connectHub, type Hub, type HubEvent, type Patience } from "../../hub/hub.ts";
import { listFiles, type Listing, type RemoteFile } from "../../hub/listing.ts";
import { type DatasetName, parseDatasetName } from "../../hub/names.ts";
import { AGAIN } from "../../hub/requests.ts";
import { type PulledFile, readRecord, writeRecord } from "../../hub/record.ts";
import { expandHome } from "../../store/file/paths.ts";
import { type Environment, readVariables } from "../server/environment.ts";
import { toolVersion } from "../version.ts";
import { hubServer } from "./hub-server.ts";
import { inputPathOf } from "./input-path.ts";
import type { ProposedFields } from "./propose-fields.ts";
import { showData } from "./show-data.ts";

export interface PullOptions {
  config?: string | undefined;
  split?: string | undefined;
  /** The folder for the files. Default: `data/OWNER/NAME`. */
  output?: string | undefined;
  signal: AbortSignal;
  onEvent?: (event: PullEvent) => void;
  /** Used instead of the process's environment and `.env`. */
  environment?: Environment;
  /** How long the Hub is waited for, where it is not as usual. */
  patience?: Partial<Patience>;
}

/** What a pull reports. */
export type PullEvent =
  | HubEvent
  | { type: "listed"; dataset: string; commit: string; license: string | null; endpoint: string; folder: string }
  /** Files that are there are compared with what the Hub says of them. */
  | { type: "checking"; path: string }
  /** So much of all files is here; `total` is null while the Hub has not said all sizes. */
  | { type: "progress"; bytes: number; total: number | null; files: number; done: number };

/** The first rows say which columns hold the inputs. A dataset may have millions. */
const PROFILED_ROWS = 1_000;

/** What was pulled. */
export interface Pull {
  dataset: string;
  revision: string;
  commit: string;
  license: string | null;
  config: string;
  splits: { split: string; files: string[]; input_data_path: string | string[] }[];
  /** The paths of all files, as this process can open them. */
  files: string[];
  bytes: number;
  /** How many of the files were not there before. */
  fetched: number;
  data_config: { input_data_path: string | string[]; fields?: ProposedFields };
}

/**
 * Pulls the Parquet files of a dataset from the Hugging Face Hub into a folder, with a record of what they are. Files that
 * are there and right are kept; a file of which a part is there is continued.
 * @param named `hf://OWNER/NAME[@REVISION]`
 * @throws UsageError when there is no such dataset, config or split, or when another file is in the way; StoppedError when
 *   the Hub does not send the files: then another pull continues
 */
export async function pullDataset(named: string, options: PullOptions): Promise<Pull> {
  const { signal, onEvent = () => {}, environment, patience } = options;
  const dataset = parseDatasetName(named);
  const server = hubServer(readVariables(environment));
  const folder = options.output === undefined ? join("data", ...dataset.id.split("/")) : expandHome(options.output);
  const userAgent = `datagen/${toolVersion().version}`;
  const hub = connectHub(dataset.id, { ...server, userAgent, signal, onEvent, patience });
  try {
    const listing = await listFiles(hub, dataset);
    const chosen = chooseFiles(dataset.id, listing.files, options);
    for (const message of listing.warnings) onEvent({ type: "warning", message });
    const { commit, license } = listing;
    onEvent({ type: "listed", dataset: dataset.id, commit, license, endpoint: hub.endpoint, folder });
    const fetched = await pullFiles(hub, { dataset, listing, chosen, folder, signal, onEvent });
    return await resultOf(dataset, listing, chosen, folder, { ...fetched, onEvent });
  } catch (error) {
    throw signal.aborted ? new InterruptedError("the pull was interrupted", AGAIN) : readable(error, folder);
  } finally {
    await hub.close();
  }
}

interface Pulling {
  dataset: DatasetName;
  listing: Listing;
  chosen: readonly RemoteFile[];
  folder: string;
  signal: AbortSignal;
  onEvent: (event: PullEvent) => void;
}

/** An error of the file system as one that the user can act on. A full disk is reported as everywhere. */
function readable(error: unknown, folder: string): unknown {
  const code = errorCode(error) ?? "";
  if (error instanceof DatagenError || !/^(?:EACCES|EPERM|EROFS|EISDIR|ENOTDIR|ENOENT|ENAMETOOLONG)$/.test(code)) {
    return error;
  }
  const path = error instanceof Error && "path" in error && typeof error.path === "string" ? error.path : folder;
  const hint = "Check the permissions of the folder, or choose another one with --output.";
  return new UsageError(`${path} cannot be written (${code})`, hint, error);
}

/** @returns how many files were fetched, and the size of all */
async function pullFiles(hub: Hub, pulling: Pulling): Promise<{ fetched: number; bytes: number }> {
  const { listing, folder, onEvent } = pulling;
  const files = [...new Map(pulling.chosen.map((file) => [file.path, file])).values()];
  makeFolders(
    folder,
    files.map(({ path }) => path),
  );
  const before = await readRecord(folder, (message) => onEvent({ type: "warning", message }));
  const record = new Map(before.filter(({ path }) => existsSync(join(folder, path))).map((file) => [file.path, file]));
  const { kept, missing } = await compare(files, record, pulling);
  const entryOf = (file: RemoteFile, found: { size: number; sha256: string }): PulledFile => ({
    path: file.path,
    ...found,
    dataset: pulling.dataset.id,
    revision: listing.revision,
    commit: listing.commit,
    license: listing.license,
    config: file.config,
    split: file.split,
    pulled_at: new Date().toISOString(),
  });
  const save = () => writeRecord(folder, [...record.values()]);
  let bytes = 0;
  for (const { file, found } of kept) {
    const entry = entryOf(file, found);
    const { pulled_at: at = entry.pulled_at, sha256 } = record.get(file.path) ?? {};
    record.set(file.path, sha256 === found.sha256 ? { ...entry, pulled_at: at } : entry);
    bytes += found.size;
  }
  const sizes = missing.map(({ size }) => size);
  const total = sizes.includes(null) ? null : sizes.reduce<number>((sum, size) => sum + (size ?? 0), bytes);
  const progress = (here: number, done: number) =>
    onEvent({ type: "progress", bytes: here, total, files: files.length, done });
  try {
    for (const [at, file] of missing.entries()) {
      progress(bytes, kept.length + at);
      const start = bytes;
      const target = join(folder, file.path);
      const { keep, ...found } = await download(hub, file, {
        target,
        onBytes: (here) => progress(start + here, kept.length + at),
      });
      record.set(file.path, entryOf(file, found));
      // Without a hash from the Hub, only the record tells the file from another one. So it comes first.
      if (file.sha256 === null) await save();
      await keep();
      bytes += found.size;
    }
  } finally {
    await save();
  }
  progress(bytes, files.length);
  return { fetched: missing.length, bytes };
}

/**
 * Which files are there and right, and which must be fetched.
 * @throws UsageError when there are files that no pull has put there, or that were changed
 */
async function compare(files: readonly RemoteFile[], record: ReadonlyMap<string, PulledFile>, pulling: Pulling) {
  const kept: { file: RemoteFile; found: { size: number; sha256: string } }[] = [];
  const missing: RemoteFile[] = [];
  const inTheWay: string[] = [];
  for (const file of files) {
    const path = join(pulling.folder, file.path);
    if (existsSync(path)) pulling.onEvent({ type: "checking", path });
    const found = await fileOnDisk(path, pulling.signal);
    const pulled = record.get(file.path);
    const isPulled = pulled !== undefined && pulled.sha256 === found?.sha256;
    const isOfCommit = isPulled && pulled.dataset === pulling.dataset.id && pulled.commit === pulling.listing.commit;
    if (found === null) missing.push(file);
    else if (file.sha256 === null ? isOfCommit : file.sha256 === found.sha256) kept.push({ file, found });
    else if (isPulled) missing.push(file);
    else inTheWay.push(path);
  }
  if (inTheWay.length === 0) return { kept, missing };
  throw new UsageError(
    `${inTheWay.slice(0, 10).join(", ")}${inTheWay.length > 10 ? ", …" : ""}: ` +
      "there is another file with that name, or the file was changed after it was pulled; nothing was pulled",
    "Move it away, or choose another folder with --output.",
  );
}

async function resultOf(
  { id }: DatasetName,
  { revision, commit, license }: Listing,
  chosen: readonly RemoteFile[],
  folder: string,
  { fetched, bytes, onEvent }: { fetched: number; bytes: number; onEvent: (event: PullEvent) => void },
): Promise<Pull> {
  const names = [...new Set(chosen.map(({ split }) => split))];
  const splits = await Promise.all(
    names.map(async (split) => {
      const files = chosen.filter((file) => file.split === split).map(({ path }) => join(folder, path));
      return { split, files, input_data_path: await inputPathOf(files) };
    }),
  );
  const preferred =
    splits.find(({ split }) => split === "test") ?? splits.find(({ split }) => split === "train") ?? splits[0];
  return {
    dataset: id,
    revision,
    commit,
    license,
    config: chosen[0]?.config ?? "",
    splits,
    files: [...new Set(splits.flatMap(({ files }) => files))],
    bytes,
    fetched,
    data_config: {
      input_data_path: preferred?.input_data_path ?? [],
      ...(await fieldsOf(preferred?.files[0] ?? "", (message) => onEvent({ type: "warning", message }))),
    },
  };
}

/** The columns of the inputs and of the references, by the first rows of a file. */
async function fieldsOf(path: string, onWarning: (message: string) => void): Promise<{ fields?: ProposedFields }> {
  try {
    const { data_config: found, chosen_by: by } = await showData([path], { mostRows: PROFILED_ROWS, onWarning });
    if (found === null) onWarning(`no column of ${path} holds texts only, so none can be the inputs`);
    if (by === "lengths") onWarning("no column has a usual name; data_config names the one with the longest texts");
    return found?.fields ? { fields: found.fields } : {};
  } catch (error) {
    if (!(error instanceof UsageError)) throw error;
    onWarning(`the columns of ${path} are not known: ${error.message}`);
    return {};
  }
}
