/** Work on single elements, or on all alike, by our own kernels. Each has one variant. */
import {
  launchAdamW,
  launchBinary,
  launchDropout,
  launchFill,
  launchGradientNorm,
  launchLerp,
  launchMomentum,
  launchPartsSum,
  launchQuantize,
  launchSquareSums,
  launchUnary,
  launchUnaryGradient,
  quantizedBlock,
  squareSumParts,
} from '../../kernels/index.js';
import { type Bench, type OwnWork, launch, operandOf, single } from './own_work.js';
import {
  adamwSettings,
  dropoutProbability,
  dropoutStream,
  gradientNormSettings,
  lerpWeight,
  momentumFactor,
} from './settings.js';
import { type ElementWork, quantizedWords } from './work.js';

const unaryFunctions = { copy: 'copy', cast: 'copy', gelu: 'gelu', quick_gelu: 'quickGelu' } as const;

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
        launch(device, own, order, (operands) => launchMomentum(operands, momentumFactor, traits));
      return single(bench, kernel, record, ['buffer', 'result']);
    }
    case 'lerp': {
      const record = (): void =>
        launch(device, tensors, ['average', 'value'], ({ average, value }) =>
          launchLerp(average, value, lerpWeight, traits),
        );
      return single(bench, kernel, record, ['average']);
    }
    case 'copy':
    case 'cast':
    case 'gelu':
    case 'quick_gelu':
      return single(bench, kernel, () =>
        launch(device, tensors, ['x', 'result'], ({ x, result }) =>
          launchUnary(unaryFunctions[kernel], x, result, traits),
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
        launch(device, own, order, (operands) => launchAdamW(operands, adamwSettings, traits));
      return single(bench, kernel, record, ['parameter', 'firstMoment', 'secondMoment']);
    }
  }
}

/** The sum of squares of a gradient, in as many parts as it takes. */
function ownSquareSum(bench: Bench): OwnWork {
  const { device, tensors } = bench;
  const { traits } = device;
  const count = squareSumParts(operandOf(tensors['x']!), traits);
  const parts = count > 1 ? device.empty('f32', [count]) : tensors['result']!;
  const own = { ...tensors, parts };
  return single(bench, 'square_sum', () => {
    launch(device, own, ['x', 'parts'], (operands) => launchSquareSums(operands.x, operands.parts, traits));
    if (count === 1) return;
    launch(device, own, ['parts', 'result'], (operands) =>
      launchPartsSum(operands.parts, operands.result, traits),
    );
  });
}
