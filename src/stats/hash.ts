/**
 * A hash of a text: 53 bits, which a number holds exactly. It is fast, and has no defence against texts that are made to
 * collide. The characters are mixed one by one (multiply and rotate) into two numbers of 32 bits, each with its own
 * constants, and stirred at the end.
 */
export function hashOf(text: string, seed = 0): number {
  let high = seed ^ 0x2f0b4a27;
  let low = seed ^ 0x61c88647;
  for (let at = 0; at < text.length; at += 1) {
    const unit = text.charCodeAt(at);
    high = Math.imul((high << 5) ^ (high >>> 27) ^ unit, 0x9e3779b1);
    low = Math.imul((low << 13) ^ (low >>> 19) ^ unit, 0x85ebca77);
  }
  return joined(stirred(high ^ text.length), stirred(low + Math.imul(high, 0xc2b2ae3d)));
}

/** 53 bits of two numbers of 32 bits. */
function joined(high: number, low: number): number {
  return (high & 0x1fffff) * 0x1_0000_0000 + (low >>> 0);
}

/** A number of 32 bits whose every bit depends on all bits of another. */
export function stirred(value: number): number {
  let bits = value;
  bits = Math.imul(bits ^ (bits >>> 16), 0x7feb352d);
  bits = Math.imul(bits ^ (bits >>> 15), 0x846ca68b);
  return bits ^ (bits >>> 16);
}

/** Two numbers of 53 bits mixed into one; their order counts. */
export function mixed(one: number, other: number): number {
  const [oneHigh, oneLow] = [Math.floor(one / 0x1_0000_0000), one | 0];
  const [otherHigh, otherLow] = [Math.floor(other / 0x1_0000_0000), other | 0];
  const high = stirred(oneHigh ^ Math.imul(otherLow, 0x9e3779b1) ^ 0x165667b1);
  const low = stirred(oneLow ^ Math.imul(otherHigh, 0x85ebca77) ^ Math.imul(otherLow, 0x27d4eb2f));
  return joined(stirred(high + low), stirred(low ^ Math.imul(high, 0xc2b2ae3d)));
}

/** Pseudo-random whole numbers from 0 to below `bound`, the same for the same seed (xorshift of 32 bits). */
export function randoms(seed: number): (bound: number) => number {
  let state = stirred(seed ^ 0x5bd1e995) || 1;
  return (bound) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return Math.floor(((state >>> 0) / 0x1_0000_0000) * bound);
  };
}
