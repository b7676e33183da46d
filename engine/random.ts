/** What a {@link RandomGenerator} needs to go on where it was: four whole numbers from 0 to 2^32 - 1. */
export type RandomState = readonly [number, number, number, number];

/**
 * Seeded random numbers, the same on every machine (the sfc32 generator: 128 bits of state, a counter among them, so that
 * no sequence is shorter than 2^32). Not for secrets.
 */
export class RandomGenerator {
  readonly #state: Uint32Array;

  /**
   * @param seed whole number from 0 to 2^53 - 1
   * @param stream whole number from 0 to 2^32 - 1: generators of one seed and different streams are independent
   */
  constructor(seed: number, stream = 0) {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new RangeError(
        `random seed ${seed}: expected a whole number from 0 to ${Number.MAX_SAFE_INTEGER}.`,
      );
    }
    if (!isWord(stream)) {
      throw new RangeError(`random stream ${stream}: expected a whole number from 0 to ${2 ** 32 - 1}.`);
    }
    this.#state = Uint32Array.of(seed % 2 ** 32, Math.floor(seed / 2 ** 32), stream, 1);
    // Until the bits of the seed have reached every bit of the state, like seeds give like numbers.
    for (let round = 0; round < 15; round++) this.#word();
  }

  /** @throws RangeError if the state is none, as in a damaged checkpoint. */
  static fromState(state: readonly number[]): RandomGenerator {
    if (state.length !== 4 || !state.every(isWord)) {
      throw new RangeError(
        `random state ${JSON.stringify(state).slice(0, 100)}: expected four whole numbers below 2^32.`,
      );
    }
    const generator = new RandomGenerator(0);
    generator.#state.set(state);
    return generator;
  }

  /** The state between two numbers, to be stored as JSON. */
  get state(): RandomState {
    const [a, b, c, counter] = this.#state;
    return [a!, b!, c!, counter!];
  }

  /** Uniform in [0, 1), in steps of 2^-32. */
  next(): number {
    return this.#word() / 2 ** 32;
  }

  /** A whole number from 0 to `end - 1`; `end` is at most 2^32. */
  integer(end: number): number {
    return Math.floor(this.next() * end);
  }

  /** `count` of the items without repetition, in random order. */
  sample<T>(items: readonly T[], count: number): T[] {
    const pool = [...items];
    const taken = Math.min(count, pool.length);
    for (let i = 0; i < taken; i++) {
      const j = i + this.integer(pool.length - i);
      [pool[i], pool[j]] = [pool[j]!, pool[i]!];
    }
    return pool.slice(0, taken);
  }

  #word(): number {
    const state = this.#state;
    const [a, b, c, counter] = [state[0]!, state[1]!, state[2]!, state[3]!];
    const word = (a + b + counter) >>> 0;
    state[0] = b ^ (b >>> 9);
    state[1] = c + (c << 3);
    state[2] = ((c << 21) | (c >>> 11)) + word;
    state[3] = counter + 1;
    return word;
  }
}

function isWord(value: number): boolean {
  return Number.isInteger(value) && value >= 0 && value < 2 ** 32;
}
