/** A set of positions of tasks, as bits. */
export class Positions {
  private bits: Uint8Array;

  constructor(bits: Uint8Array = new Uint8Array(128)) {
    this.bits = bits;
  }

  add(position: number): void {
    const at = position >>> 3;
    if (at >= this.bits.length) {
      const larger = new Uint8Array(2 * at);
      larger.set(this.bits);
      this.bits = larger;
    }
    this.bits[at] = (this.bits[at] as number) | (1 << (position & 7));
  }

  has(position: number): boolean {
    return (((this.bits[position >>> 3] ?? 0) >>> (position & 7)) & 1) === 1;
  }

  /** The bits, for a constructor. */
  get stored(): Uint8Array {
    return this.bits;
  }
}
