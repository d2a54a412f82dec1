import { copyFileSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, truncateSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import Database from "better-sqlite3";
import { openStore } from "../../src/store/file/open.ts";
import type { Store } from "../../src/store/file/store.ts";
import type { Disturbance, Plan } from "./plan.ts";
import type { Random } from "./random.ts";

/** Bytes of a WAL's header, and of the header of each of its frames (SQLite's file format, part 4). */
const WAL_HEADER = 32;
const FRAME_HEADER = 24;
/** Where the WAL's index has how many frames are valid, and how many of them are in the database already. */
const VALID_FRAMES_AT = 16;
const BACKFILLED_FRAMES_AT = 96;

/** A process id that no process has. */
const DEAD_PID = 0x3fff_fff0;

/** How the lease of a process that is gone may look to the next one. Some have to be watched, for up to 30 seconds. */
const LEFT_BEHIND = [
  `pid = ${DEAD_PID}`,
  // Another process has its id.
  "pid_started = '1'",
  `pid_namespace = 'pid:[1]', pid = ${DEAD_PID}`,
  // The machine was started again, and its clock was an hour ahead before.
  "boot = 'an earlier one', heartbeat_at = heartbeat_at + 3600000",
  "boot = 'an earlier one', heartbeat_at = heartbeat_at - 3600000",
];

/** Makes a database that is up to date and empty. Its pages are small, as a schedule writes little. */
export function makeTemplate(path: string): void {
  const { sqlite } = openStore(path);
  sqlite.exec("pragma journal_mode = delete; pragma page_size = 1024; vacuum");
  sqlite.close();
}

/** The disk of a schedule, and what happens to it. */
export class World implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "datagen-simulation-"));
  readonly #random: Random;
  readonly #disturbances: Plan["disturbances"];
  #generation = 0;
  #points = 0;
  #opened = 0;
  #store: Store | undefined;
  /** Whether the process is gone that executes the run. */
  isDead = false;
  /** Whether commits were lost that were not flushed: what they had paid for is paid again. */
  hasLostPower = false;
  /** How the last execution was disturbed. */
  readonly disturbedBy = new Set<Disturbance>();
  /** What the schedule has done, for who reads its failure. */
  readonly log: string[] = [];
  /** Called when another process takes the run over, and when the run is to stop. */
  onTakeOver: () => void = () => {};
  onDrain: () => void = () => {};

  /** @param template a database that is up to date and empty */
  constructor(random: Random, { disturbances }: Pick<Plan, "disturbances">, template: string) {
    this.#random = random;
    this.#disturbances = [...disturbances];
    mkdirSync(this.#place);
    copyFileSync(template, this.path);
  }

  get #place(): string {
    return join(this.folder, String(this.#generation));
  }

  get path(): string {
    return join(this.#place, "datagen.db");
  }

  /** Opens the database as a new process does. */
  open(): Store {
    this.isDead = false;
    this.disturbedBy.clear();
    this.#store = openStore(this.path);
    // Checkpoints come as often as with a long run. The disk is simulated: nothing needs to reach a real one.
    this.#store.sqlite.exec(`pragma wal_autocheckpoint = ${this.#random.whole(1, 40)}; pragma synchronous = OFF`);
    // The process that had the lease is gone, though the simulation goes on in this one.
    const left = LEFT_BEHIND[this.#opened % LEFT_BEHIND.length];
    this.#opened += 1;
    if (process.platform === "linux") this.#store.sqlite.exec(`update leases set ${left}`);
    else this.#store.sqlite.prepare("update leases set pid = ?").run(DEAD_PID);
    return this.#store;
  }

  /** A point at which something may happen. Each is between two steps that a process cannot take as one. */
  point(name: string): void {
    const [next] = this.#disturbances;
    if (this.isDead || !next) return;
    this.#points += 1;
    if (this.#points < next.after) return;
    this.#points = 0;
    this.#disturbances.shift();
    this.log.push(`${next.kind} at ${name}`);
    this.disturbedBy.add(next.kind);
    this.#disturb(next.kind);
  }

  #disturb(kind: Disturbance): void {
    const store = this.#store;
    if (!store) throw new Error("no database is open");
    switch (kind) {
      case "crash":
        this.#die(false);
        break;
      case "power_loss":
        this.#die(true);
        break;
      case "lease_lost": {
        const other = new Database(store.path);
        other.prepare("update leases set token = 'thief'").run();
        other.close();
        this.onTakeOver();
        break;
      }
      case "disk_full": {
        const pages = store.sqlite.pragma("page_count", { simple: true }) as number;
        store.sqlite.pragma(`max_page_count = ${pages + this.#random.whole(0, 2)}`);
        break;
      }
      default:
        this.onDrain();
    }
  }

  /** Ends the process. What it leaves behind is a copy of its files as they are now. */
  #die(isPowerLost: boolean): void {
    const [from, wal, index] = ["", "-wal", "-shm"].map((ending) => `${this.path}${ending}`) as [
      string,
      string,
      string,
    ];
    const frames = readIndex(index);
    const pageSize = this.#store?.sqlite.pragma("page_size", { simple: true }) as number;
    this.#generation += 1;
    mkdirSync(this.#place);
    copyFileSync(from, this.path);
    if (existsSync(wal)) {
      copyFileSync(wal, `${this.path}-wal`);
      if (isPowerLost && frames.valid > 0) {
        // What a checkpoint has copied was flushed before.
        const kept = this.#random.whole(frames.backfilled, frames.valid);
        this.log.push(`${kept} of ${frames.valid} frames are left`);
        truncateSync(`${this.path}-wal`, WAL_HEADER + kept * (FRAME_HEADER + pageSize));
      }
    }
    this.isDead = true;
    this.hasLostPower ||= isPowerLost;
    this.#store?.close();
  }

  close(): void {
    if (!this.isDead) this.#store?.close();
    this.#store = undefined;
  }

  [Symbol.dispose](): void {
    this.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}

function readIndex(path: string): { valid: number; backfilled: number } {
  if (!existsSync(path)) return { valid: 0, backfilled: 0 };
  const bytes = readFileSync(path);
  return { valid: bytes.readUInt32LE(VALID_FRAMES_AT), backfilled: bytes.readUInt32LE(BACKFILLED_FRAMES_AT) };
}
