/** A source of numbers that look random, uniform from 0 up to but not including 1. */
export interface RandomSource {
  next(): number;
}

/** The mulberry32 generator: 32 bits of state, the same numbers for the same seed on every machine. */
export class Mulberry32 implements RandomSource {
  private state: number;

  /** @param seed its lowest 32 bits count */
  constructor(seed: number) {
    this.state = seed | 0;
  }

  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(this.state ^ (this.state >>> 15), 1 | this.state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }
}
