import { sampleRandom } from './sample_random.js';

/**
 * In which order an epoch takes the samples of a data set; shared among threads without copying.
 *
 * @param shuffle whether the order is a random one, another in each epoch.
 * @returns `[length]`, each index once.
 */
export function epochOrder(
  length: number,
  epoch: number,
  seed: number,
  shuffle: boolean,
): Uint32Array<SharedArrayBuffer> {
  const order = new Uint32Array(new SharedArrayBuffer(length * Uint32Array.BYTES_PER_ELEMENT));
  for (let index = 0; index < length; index++) order[index] = index;
  if (!shuffle) return order;
  const random = sampleRandom(seed, epoch, -1);
  for (let last = length - 1; last > 0; last--) {
    const other = random.integer(last + 1);
    const index = order[last]!;
    order[last] = order[other]!;
    order[other] = index;
  }
  return order;
}
