/** The loop of multiply-adds by which a device's peak is measured. */
import { expect, test } from '@jest/globals';
import { measurePeakFlops } from '../engine/index.js';
import { launchMultiplyAdd, multiplyAddCost, multiplyAddWorkgroup } from '../kernels/index.js';
import { useDevice } from './support/device.js';

const device = useDevice({ device: 'software' });

test('every multiply-add is done', async () => {
  const { traits } = device();
  const count = 3 * multiplyAddWorkgroup(traits);
  const result = device().tensor(new Float32Array(count).fill(NaN), [count]);
  const [rounds, factor, term] = [5, 0.75, 0.5];
  device().dispatch(
    ([operand]) => launchMultiplyAdd({ result: operand!, rounds, factor, term }, traits),
    [result],
    () => 'multiply_add',
  );
  const { flops } = multiplyAddCost({ result, rounds, factor, term });
  const steps = 8 * rounds;
  expect(flops).toBe(count * 8 * 4 * steps * 2);
  // x -> factor x + term comes to term / (1 - factor) = 2 from any start, by a known distance.
  const values = await result.read();
  const expected = Array.from({ length: count }, (_, i) =>
    Array.from({ length: 8 }, (_, c) => 4 * (2 + ((i % 4) + c - 2) * factor ** steps)).reduce(
      (a, b) => a + b,
    ),
  );
  values.forEach((value, i) => expect(Math.abs(value - expected[i]!)).toBeLessThan(1e-3));
  expect(() =>
    launchMultiplyAdd({ result: { ...result, shape: [count + 1] }, rounds, factor, term }, traits),
  ).toThrow(/no multiple/);
  result.dispose();
});

test('a measured peak is a speed, and leaves nothing behind', async () => {
  const peak = await measurePeakFlops(device());
  expect(peak).toBeGreaterThan(1e8);
  expect(peak).toBeLessThan(1e15);
  expect(device().memory.liveBytes).toBe(0);
  const { dispatches } = device().counts;
  expect(await measurePeakFlops(device())).toBe(peak);
  expect(device().counts.dispatches).toBe(dispatches);
});
