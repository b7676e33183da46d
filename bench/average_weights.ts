/**
 * A model between two: each weight a mean of theirs. Of a model and one that was trained further from it, it often reads
 * better than both (Wortsman et al., Robust fine-tuning of zero-shot models, 2022):
 *
 *     node dist/bench/average_weights.js before.safetensors after.safetensors 0.5 between.safetensors
 *
 * The share is that of the second; hyper-parameters are its own too.
 */
import { openParameters, writeSafetensors } from '../weights/index.js';

const [beforePath, afterPath, shareText, output] = process.argv.slice(2);
const share = Number(shareText);
if (
  beforePath === undefined ||
  afterPath === undefined ||
  output === undefined ||
  !(share >= 0 && share <= 1)
) {
  throw new Error('expected two models, the share of the second from 0 to 1, and the file to write.');
}
const [before, after] = [await openParameters(beforePath), await openParameters(afterPath)];
const tensors = [...after.parameters].map(([name, { shape }]) => {
  const other = before.parameters.get(name)?.shape;
  if (other?.join() !== shape.join())
    throw new Error(`${name}: [${shape.join()}] and [${other?.join()}] differ.`);
  return {
    name,
    shape,
    dtype: 'f32' as const,
    read: async (): Promise<Float32Array<ArrayBuffer>> => {
      const [old, own] = [await before.readF32(name), await after.readF32(name)];
      return Float32Array.from(own, (value, i) => share * value + (1 - share) * old[i]!);
    },
  };
});
const metadata = Object.entries(after.configuration).map(([key, value]) => [key, JSON.stringify(value)]);
await writeSafetensors(output, tensors, Object.fromEntries(metadata) as Record<string, string>);
await before.close();
await after.close();
