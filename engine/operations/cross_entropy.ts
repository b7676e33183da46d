import { launchCrossEntropy, launchCrossEntropyGradient } from '../../kernels/index.js';
import { ShapeError } from '../errors.js';
import type { Tensor } from '../tensor.js';
import { type Operation, bytesOf, describe, dispatch, needFloats, needTensors, run } from './operation.js';
import { withContiguousRows } from './row_gradients.js';

type Inputs = { readonly logits: Tensor; readonly targets: Tensor };

export const crossEntropyGradientRow: Operation<Inputs & { gradient: Tensor }, { ignored: number }> = {
  name: 'crossEntropyGradient',
  output: ({ logits }) => ({ dtype: logits.dtype, shape: logits.shape }),
  forward({ logits, targets, gradient }, output, { ignored }) {
    const { device } = output;
    dispatch('crossEntropyGradient', device, [logits, targets, gradient, output], ([from, by, weights, to]) =>
      launchCrossEntropyGradient(
        { logits: from!, targets: by!, ignoredTarget: ignored },
        weights!,
        to!,
        device.traits,
      ),
    );
  },
  cost: ({ logits, targets, gradient }, output) => ({
    flops: 5 * logits.size,
    bytes: bytesOf([logits, targets, gradient, output]),
  }),
  splits: () => [{ logits: 0, targets: 0, gradient: 0, output: 0 }],
};

export const crossEntropyRow: Operation<Inputs, { ignored: number }> = {
  name: 'crossEntropy',
  output({ logits, targets }) {
    needFloats('crossEntropy', [logits]);
    const fits = logits.rank === 2 && targets.rank === 1 && targets.shape[0] === logits.shape[0];
    if (!fits || logits.shape[1] === 0 || targets.dtype !== 'u32') {
      throw new ShapeError(
        `crossEntropy: needs logits [rows,classes] and u32 targets [rows]; got ${[logits, targets].map(describe).join(', ')}`,
      );
    }
    return { dtype: 'f32', shape: targets.shape };
  },
  forward({ logits, targets }, output, { ignored }) {
    const { device } = output;
    dispatch('crossEntropy', device, [withContiguousRows(logits), targets, output], ([from, by, to]) =>
      launchCrossEntropy({ logits: from!, targets: by!, ignoredTarget: ignored }, to!, device.traits),
    );
  },
  backward: {
    saves: () => ['logits', 'targets'],
    gradients({ gradient, attributes, saved }) {
      const logits = withContiguousRows(saved('logits'));
      return {
        logits: run(crossEntropyGradientRow, { logits, targets: saved('targets'), gradient }, attributes),
      };
    },
  },
  cost: ({ logits, targets }, output) => ({
    flops: 4 * logits.size,
    bytes: bytesOf([logits, targets, output]),
  }),
  splits: () => [{ logits: 0, targets: 0, output: 0 }],
};

/**
 * Cross entropy of each row: `-log(softmax(logits)[target])`.
 * @param logits `[rows, classes]`, f32 or f16
 * @param targets `[rows]` u32; a target that is neither ignored nor a class gives NaN
 * @param ignored rows with this target give 0 and get no gradient
 * @returns `[rows]` f32
 */
export const crossEntropy = (logits: Tensor, targets: Tensor, ignored = 0xffffffff): Tensor => {
  needTensors('crossEntropy', { logits, targets });
  return run(crossEntropyRow, { logits, targets }, { ignored });
};
