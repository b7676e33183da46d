/** Work on single elements, or on all alike, by our own kernels. Each has one variant. */
import {
  launchAdamW,
  launchBinary,
  launchCasts,
  launchDropout,
  launchFill,
  launchGradientNorm,
  launchLerp,
  launchMomentum,
  launchQuantize,
  launchSquareSums,
  launchUnary,
  launchUnaryGradient,
  quantizedBlock,
  squareSumParts,
} from '../../kernels/index.js';
import { type Bench, type OwnWork, columnSums, launch, operandOf, single } from './own_work.js';
import {
  adamwSettings,
  dropoutProbability,
  dropoutStream,
  gradientNormSettings,
  lerpWeight,
  momentumFactor,
} from './settings.js';
import { type ElementWork, quantizedWords } from './work.js';

export function ownElements(bench: Bench, { kernel }: ElementWork): OwnWork {
  const { device, tensors } = bench;
  const { traits } = device;
  /** What optimizers take from the gradients' norm. */
  const control = () => ({
    factor: device.tensor(Float32Array.of(1), [1]),
    skip: device.tensor(Uint32Array.of(0), [1]),
  });
  switch (kernel) {
    case 'fill':
      return single(bench, kernel, () =>
        launch(device, tensors, ['result'], ({ result }) => launchFill(0, result, traits)),
      );
    case 'square_sum':
      return ownSquareSum(bench);
    case 'gradient_norm': {
      const own = { ...tensors, skip: device.empty('u32', [1]) };
      return single(bench, kernel, () =>
        launch(device, own, ['squares', 'result', 'skip'], ({ squares, result, skip }) =>
          launchGradientNorm({ squares, control: result, skip, ...gradientNormSettings }, traits),
        ),
      );
    }
    case 'quantize':
      return single(bench, kernel, () =>
        launch(device, tensors, ['x', 'result'], ({ x, result }) =>
          // The words as blocks, which no operation gives to the host.
          launchQuantize(
            x,
            { ...x, dtype: 'q8', offset: quantizedBlock * (result.offset / quantizedWords) },
            traits,
          ),
        ),
      );
    case 'momentum': {
      const own = { ...tensors, ...control() };
      const order = ['buffer', 'gradient', 'result', 'factor', 'skip'] as const;
      const record = (): void =>
        launch(device, own, order, (operands) => launchMomentum(operands, operands, momentumFactor, traits));
      return single(bench, kernel, record, ['buffer', 'result']);
    }
    case 'lerp': {
      const record = (): void =>
        launch(device, tensors, ['average', 'value'], ({ average, value }) =>
          launchLerp([{ average, value }], lerpWeight, traits),
        );
      return single(bench, kernel, record, ['average']);
    }
    case 'cast':
      return single(bench, kernel, () =>
        launch(device, tensors, ['x', 'result'], ({ x, result }) => launchCasts([{ x, result }], traits)),
      );
    case 'copy':
    case 'gelu':
    case 'quick_gelu':
      return single(bench, kernel, () =>
        launch(device, tensors, ['x', 'result'], ({ x, result }) =>
          launchUnary(kernel === 'quick_gelu' ? 'quickGelu' : kernel, x, result, traits),
        ),
      );
    case 'add':
      return single(bench, kernel, () =>
        launch(device, tensors, ['x', 'y', 'result'], ({ x, y, result }) =>
          launchBinary('add', x, y, result, traits),
        ),
      );
    case 'dropout': {
      const settings = { probability: dropoutProbability, stream: dropoutStream, first: 0 };
      return single(bench, kernel, () =>
        launch(device, tensors, ['x', 'result'], (operands) =>
          launchDropout({ ...operands, ...settings }, traits),
        ),
      );
    }
    case 'gelu_gradient':
    case 'quick_gelu_gradient':
      return single(bench, kernel, () =>
        launch(device, tensors, ['x', 'gradient', 'result'], ({ x, gradient, result }) =>
          launchUnaryGradient(kernel === 'gelu_gradient' ? 'gelu' : 'quickGelu', x, gradient, result, traits),
        ),
      );
    case 'adamw': {
      const own = { ...tensors, ...control() };
      const order = ['parameter', 'gradient', 'firstMoment', 'secondMoment', 'factor', 'skip'] as const;
      const record = (): void =>
        launch(device, own, order, (operands) => launchAdamW([operands], operands, adamwSettings, traits));
      return single(bench, kernel, record, ['parameter', 'firstMoment', 'secondMoment']);
    }
  }
}

/** The sum of squares of a gradient, in as many parts as it takes. */
function ownSquareSum(bench: Bench): OwnWork {
  const { device, tensors } = bench;
  const { traits } = device;
  const count = squareSumParts([operandOf(tensors['x']!)], traits);
  const parts = count > 1 ? device.empty('f32', [count, 1]) : tensors['result']!;
  const own = { ...tensors, parts };
  const add = count > 1 ? columnSums(device, parts, tensors['result']!) : undefined;
  return single(bench, 'square_sum', () => {
    launch(device, own, ['x', 'parts'], (operands) => launchSquareSums([operands.x], operands.parts, traits));
    add?.();
  });
}
