/** Many tensors in another type at once, as each is by `cast`. */
import { afterEach, expect, jest, test } from '@jest/globals';
import { type Tensor, backward, cast, castAll, multiply, quantize, sum } from '../engine/index.js';
import { useDevice } from './support/device.js';
import { bitsOf } from './support/launching.js';
import { Random, sizeOf } from './support/numbers.js';

const device = useDevice({ device: 'software' });
const limited = useDevice({ device: 'software', maxBindingBytes: 8192 });

afterEach(() => void jest.restoreAllMocks());

const shapes = [[7], [4, 6], [50, 101], [12], [3, 5], [8, 8], [16], [4], [64, 64], [2, 0], [20], [9, 4]];

function drawn(on = device()): Tensor[] {
  const random = new Random(2);
  return shapes.map((shape) => on.tensor(random.floats(sizeOf(shape), -9, 9), shape));
}

test.each(['with bindings for all', 'with small bindings'])('are those of cast, %s', async (form) => {
  const on = form === 'with bindings for all' ? device() : limited();
  await on.scope(async () => {
    const own = drawn(on);
    const turned = own.map((tensor, i) => (i % 3 === 1 && tensor.rank === 2 ? tensor.transpose() : tensor));
    on.resetStatistics();
    const halves = castAll(turned, 'f16');
    const { dispatches } = on.counts;
    expect(halves.map(({ dtype }) => dtype)).toEqual(shapes.map(() => 'f16'));
    expect(halves.map(({ shape }) => shape)).toEqual(turned.map(({ shape }) => shape));
    for (const [i, half] of halves.entries()) {
      expect(bitsOf(await half.read())).toEqual(bitsOf(await cast(turned[i]!, 'f16').read()));
    }
    const wide = castAll(halves, 'f32');
    for (const [i, tensor] of wide.entries()) {
      expect(bitsOf(await tensor.read())).toEqual(bitsOf(await halves[i]!.read()));
    }
    // Two are turned first, and one is empty.
    if (on === device()) expect(dispatches).toBeLessThan(2 + 6);
  });
});

test('let gradients through in f32, unrounded', () =>
  device().scope(async () => {
    const [x, y] = [1, 2].map(() => device().tensor(Float32Array.of(1, 2), [2]).requireGradient());
    const [half, other] = castAll([x!, y!], 'f16');
    const factors = device().tensor(Float32Array.of(1 + 2 ** -20, 3), [2]);
    backward(sum(multiply(cast(half!, 'f32'), factors), [0]));
    expect([...(await x!.gradient!.read())]).toEqual([1 + 2 ** -20, 3]);
    expect(y!.gradient).toBeUndefined();
    expect(other!.node).toBeDefined();
    x!.gradient!.dispose();
  }));

test('refuse what is no float, and f16 where the adapter has none', () => {
  device().scope(() => {
    expect(castAll([], 'f16')).toEqual([]);
    const ids = device().tensor(Uint32Array.of(1), [1]);
    expect(() => castAll([ids], 'f16')).toThrow('castAll: needs floats, got u32[1]');
    expect(() => castAll([undefined as unknown as Tensor], 'f16')).toThrow('castAll: tensor is Undefined');
    const blocks = quantize(device().tensor(new Float32Array(32), [1, 32]));
    expect(() => castAll([blocks], 'f32')).toThrow('castAll: q8[1,32] is for products with it alone');
    jest.spyOn(device(), 'traits', 'get').mockReturnValue({ ...device().traits, f16: false });
    expect(() => castAll(drawn(), 'f16')).toThrow('castAll: this adapter has no f16; use f32');
  });
});
