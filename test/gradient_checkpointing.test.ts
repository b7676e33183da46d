/** Blocks that are computed again in the backward pass: the same gradients from less memory. */
import { expect, test } from '@jest/globals';
import { TrainingStep } from '../train/training_step.js';
import { useDevice } from './support/device.js';
import { loadFixtureModel } from './support/fixture_models.js';
import { Random } from './support/numbers.js';

const device = useDevice({ device: 'software' });

test('computing blocks again changes no gradient and takes less memory', async () => {
  const model = await loadFixtureModel(device(), 'fast');
  const names = [...model.parameters.entries()].map(([name]) => name);
  const groups = [{ optimizer: 'adamw', names, maxLearningRate: 1, weightDecay: 0 }] as const;
  const training = new TrainingStep(model, groups, { betas: [0.9, 0.98], epsilon: 1e-6 });
  const labels = Array.from({ length: 8 }, () => 'word');
  const [height, width] = model.configuration.image.imageSize;
  const pixels = Float32Array.from(
    new Random(1).integers(8 * 3 * height * width, 255),
    (value) => value / 128 - 1,
  );
  const batch = { pixels, labels, permutations: [[0, 1, 2, 3, 4, 5]] };
  const measure = async (recompute: boolean): Promise<{ gradients: number[][]; peakBytes: number }> => {
    model.recomputeBlocks = recompute;
    device().resetStatistics();
    await device().scope(() => training.addGradientsOf([batch], {}));
    const { peakBytes } = device().memory;
    const gradients = [];
    for (const name of names)
      gradients.push([...((await model.parameters.get(name).gradient?.read()) ?? [])]);
    training.clearGradients();
    return { gradients, peakBytes };
  };
  const kept = await measure(false);
  const again = await measure(true);
  expect(again.gradients).toEqual(kept.gradients);
  expect(kept.gradients.filter((values) => values.length > 0).length).toBeGreaterThan(50);
  expect(again.peakBytes).toBeLessThan(kept.peakBytes);
  training.dispose();
  model.parameters.dispose();
});
