import type { Command, Redis as RedisClient } from "ioredis";
import { isWrongType } from "./foreign.ts";

/** BullMQ's keys of a queue and their types. The key of a job is a hash. */
const TYPES: Readonly<Record<string, string>> = {
  active: "list",
  completed: "zset",
  delayed: "zset",
  events: "stream",
  failed: "zset",
  id: "string",
  limiter: "string",
  lock: "string",
  marker: "zset",
  meta: "hash",
  paused: "list",
  pc: "string",
  prioritized: "zset",
  repeat: "zset",
  stalled: "set",
  "stalled-check": "string",
  wait: "list",
  "waiting-children": "zset",
};

/** A key of one of datagen's queues: the queue's part, and the rest. */
const KEY = /^(bull:datagen-[\da-z-]+):(.+)$/s;

/** How long a queue's own keys are left alone after they were looked at. */
const PAUSE_MS = 500;

/**
 * The client of Redis, which removes a key of a queue that has another type than BullMQ gave it. Anybody who can write to
 * Redis can make one, and each operation of the queue would fail until it is gone.
 * @param clients gets the client and all its copies
 */
export function mendingClient(Base: typeof RedisClient, clients: RedisClient[]): typeof RedisClient {
  return class Client extends Base {
    #mendedAt = -Infinity;

    constructor(...options: unknown[]) {
      super(...(options as []));
      clients.push(this);
    }

    override duplicate(...[options]: Parameters<RedisClient["duplicate"]>): RedisClient {
      return new Client({ ...this.options, ...options });
    }

    override sendCommand(command: Command, ...rest: [never]): unknown {
      command.promise.catch((error: unknown) => {
        if (!isWrongType(error)) return;
        const isAll = performance.now() - this.#mendedAt >= PAUSE_MS;
        if (isAll) this.#mendedAt = performance.now();
        removeOtherTypes(this, command.args, isAll).catch(() => {});
      });
      return super.sendCommand(command, ...rest);
    }
  };
}

/**
 * Removes keys that have another type than BullMQ gave them.
 * @param named the arguments of a command: it may be the keys among them
 * @param isAll whether it may be the own keys of the queue, too
 */
async function removeOtherTypes(client: RedisClient, named: readonly unknown[], isAll: boolean): Promise<void> {
  const keys = new Set<string>();
  for (const text of named) {
    const [key, queue] = (typeof text === "string" ? KEY.exec(text) : null) ?? [];
    if (key === undefined || queue === undefined) continue;
    for (const one of [key, `${key}:lock`]) keys.add(one);
    if (isAll) for (const part of Object.keys(TYPES)) keys.add(`${queue}:${part}`);
  }
  for (const key of keys) {
    const type = await client.type(key);
    const expected = TYPES[key.slice(key.lastIndexOf(":") + 1)] ?? "hash";
    if (type !== "none" && type !== expected) await client.unlink(key);
  }
}
