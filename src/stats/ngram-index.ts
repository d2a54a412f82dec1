/** A slot of the table that holds no node. */
const FREE = -1;
const FEWEST_SLOTS = 256;

/**
 * All n-grams of a sequence up to an order, as a tree: a node for each n-gram, whose parent is the n-gram without its last
 * symbol. One hash table (linear probing) has the edges, so that an index needs no objects and can be built again.
 */
export class NgramIndex {
  private readonly order: number;
  /** The three columns of the table: a node, a symbol of at least 0, and the node of the longer n-gram. */
  private parents = new Int32Array(0);
  private symbols = new Int32Array(0);
  private children = new Int32Array(0);
  private mask = 0;
  /** How often each n-gram occurs; node 0 is the empty one. */
  private counts = new Int32Array(0);
  private nodes = 1;
  /** How often each n-gram was matched by the sequence that {@link overlap} is reading. */
  private used = new Int32Array(0);
  private touched = new Int32Array(0);

  constructor(order: number) {
    this.order = order;
  }

  /** Indexes the n-grams of the first `length` symbols, in the place of what was indexed before. */
  build(sequence: Int32Array, length: number): this {
    this.reset(length * this.order + 1);
    for (let start = 0; start < length; start += 1) {
      const end = Math.min(length, start + this.order);
      let node = 0;
      for (let at = start; at < end; at += 1) {
        node = this.child(node, sequence[at] as number, true);
        this.counts[node] = (this.counts[node] as number) + 1;
      }
    }
    return this;
  }

  /**
   * Counts the n-grams of a sequence that the index has, each at most as often as there (clipped counts).
   * @param matches gets the number of order n at n − 1
   */
  overlap(sequence: Int32Array, length: number, matches: Int32Array): void {
    matches.fill(0);
    let count = 0;
    if (this.touched.length < length * this.order) this.touched = new Int32Array(length * this.order);
    for (let start = 0; start < length; start += 1) {
      const end = Math.min(length, start + this.order);
      let node = 0;
      for (let at = start; at < end; at += 1) {
        node = this.child(node, sequence[at] as number, false);
        if (node === FREE) break;
        const used = this.used[node] as number;
        if (used >= (this.counts[node] as number)) continue;
        this.used[node] = used + 1;
        this.touched[count] = node;
        count += 1;
        matches[at - start] = (matches[at - start] as number) + 1;
      }
    }
    for (let at = 0; at < count; at += 1) this.used[this.touched[at] as number] = 0;
  }

  /** How long the longest n-gram of the index is that begins at a place of a sequence. */
  depthAt(sequence: Int32Array, length: number, start: number): number {
    const end = Math.min(length, start + this.order);
    let node = 0;
    for (let at = start; at < end; at += 1) {
      node = this.child(node, sequence[at] as number, false);
      if (node === FREE) return at - start;
    }
    return end - start;
  }

  /** The node of a longer n-gram: {@link FREE} if there is none and none is wanted. */
  private child(parent: number, symbol: number, isWanted: boolean): number {
    const { parents, symbols, children, mask } = this;
    let at = Math.imul(parent, 0x9e3779b1) ^ Math.imul(symbol, 0x85ebca6b);
    at = (at ^ (at >>> 15)) & mask;
    while (parents[at] !== FREE) {
      if (parents[at] === parent && symbols[at] === symbol) return children[at] as number;
      at = (at + 1) & mask;
    }
    if (!isWanted) return FREE;
    parents[at] = parent;
    symbols[at] = symbol;
    children[at] = this.nodes;
    this.nodes += 1;
    return this.nodes - 1;
  }

  private reset(mostNodes: number): void {
    let slots = FEWEST_SLOTS;
    while (slots < 2 * mostNodes) slots *= 2;
    if (slots > this.parents.length) {
      this.parents = new Int32Array(slots);
      this.symbols = new Int32Array(slots);
      this.children = new Int32Array(slots);
      this.counts = new Int32Array(slots / 2);
      this.used = new Int32Array(slots / 2);
    }
    this.mask = slots - 1;
    this.parents.fill(FREE, 0, slots);
    this.counts.fill(0, 0, slots / 2);
    this.nodes = 1;
  }
}
