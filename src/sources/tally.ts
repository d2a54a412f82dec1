import { hash as hashOf } from "node:crypto";

/** Counts how often each of many texts occurs, by 64 bits of their hashes, in about 24 bytes for each text. */
export class Tally {
  #keys = new BigUint64Array(1 << 10);
  #counts = new Uint32Array(1 << 10);
  #size = 0;

  /** @param hash at least 8 bytes @returns how often it has been added, this time included */
  add(hash: Buffer): number {
    // 0 marks a free slot.
    const key = hash.readBigUInt64LE(0) || 1n;
    if (this.#size * 2 >= this.#keys.length) this.#grow();
    const slot = this.#slotOf(key);
    if (this.#keys[slot] === 0n) this.#size += 1;
    this.#keys[slot] = key;
    const count = (this.#counts[slot] ?? 0) + 1;
    this.#counts[slot] = count;
    return count;
  }

  /** Adds an id. "7" and 7 are the same one. @returns whether it is new */
  addId(id: string | number): boolean {
    return this.add(hashOf("sha256", String(id), "buffer")) === 1;
  }

  #slotOf(key: bigint): number {
    const mask = this.#keys.length - 1;
    let slot = Number(key & 0x7fffffffn) & mask;
    while (this.#keys[slot] !== 0n && this.#keys[slot] !== key) slot = (slot + 1) & mask;
    return slot;
  }

  #grow(): void {
    const [keys, counts] = [this.#keys, this.#counts];
    this.#keys = new BigUint64Array(keys.length * 2);
    this.#counts = new Uint32Array(keys.length * 2);
    for (const [at, key] of keys.entries()) {
      if (key === 0n) continue;
      const slot = this.#slotOf(key);
      this.#keys[slot] = key;
      this.#counts[slot] = counts[at] ?? 0;
    }
  }
}
