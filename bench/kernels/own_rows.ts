/** Work on rows, on embeddings and on single elements by our own kernels. Each has one variant. */
import { type Tensor, softmax } from '../../engine/index.js';
import {
  columnSumGroups,
  launchAdamW,
  launchArgmax,
  launchBinary,
  launchCrossEntropy,
  launchCrossEntropyGradient,
  launchDropout,
  launchEmbedding,
  launchFill,
  launchGather,
  launchLayerNorm,
  launchLayerNormGradient,
  launchLayerNormWeightGradient,
  launchLerp,
  launchMomentum,
  launchPartsSum,
  launchReduce,
  launchScatter,
  launchSoftmax,
  launchSoftmaxGradient,
  launchSortIndices,
  launchSquareSums,
  launchUnary,
  launchUnaryGradient,
  squareSumParts,
} from '../../kernels/index.js';
import { type Bench, type OwnWork, launch, operandOf, sumColumns } from './own_work.js';
import {
  adamwSettings,
  dropoutProbability,
  dropoutStream,
  layerNormEpsilon,
  lerpWeight,
  momentumFactor,
} from './settings.js';
import type { ElementWork, EmbeddingWork, RowWork } from './work.js';

/** @param outputs names of the tensors that are the work's outputs */
function single(
  bench: Bench,
  name: string,
  record: () => void,
  outputs: readonly string[] = ['result'],
): OwnWork {
  return {
    outputs: Object.fromEntries(outputs.map((output) => [output, bench.tensors[output]!])),
    variants: [{ name, record }],
  };
}

export function ownRows(bench: Bench, work: RowWork): OwnWork {
  const { device, tensors } = bench;
  const { traits } = device;
  const { kernel, rows, width } = work;
  switch (kernel) {
    case 'layernorm':
      return single(bench, kernel, () =>
        launch(device, tensors, ['x', 'weight', 'bias', 'result'], ({ x, weight, bias, result }) =>
          launchLayerNorm(x, weight, bias, layerNormEpsilon, result, traits),
        ),
      );
    case 'layernorm_gradient':
      return ownLayerNormGradient(bench, work);
    case 'softmax':
      return single(bench, kernel, () =>
        launch(device, tensors, ['x', 'result'], ({ x, result }) => launchSoftmax(false, x, result, traits)),
      );
    case 'softmax_gradient': {
      const own = { ...tensors, output: softmax(tensors['x']!) };
      return single(bench, kernel, () =>
        launch(device, own, ['output', 'gradient', 'result'], ({ output, gradient, result }) =>
          launchSoftmaxGradient(false, output, gradient, result, traits),
        ),
      );
    }
    case 'argmax':
      return single(bench, kernel, () =>
        launch(device, tensors, ['x', 'result'], ({ x, result }) => launchArgmax(x, result, traits)),
      );
    case 'mean':
      return single(bench, kernel, () =>
        launch(device, tensors, ['x', 'result'], ({ x, result }) =>
          launchReduce('sum', width, x, result, traits),
        ),
      );
    case 'column_sum': {
      const groups = columnSumGroups(rows, width, traits);
      const parts = groups > 1 ? [device.empty('f32', [groups, width])] : [];
      return single(bench, kernel, () =>
        sumColumns(bench.device, [tensors['x']!, ...parts, tensors['result']!]),
      );
    }
    case 'cross_entropy':
      return single(bench, kernel, () =>
        launch(device, tensors, ['logits', 'targets', 'result'], ({ logits, targets, result }) =>
          launchCrossEntropy({ logits: logits, targets: targets, ignoredTarget: width }, result, traits),
        ),
      );
    case 'cross_entropy_gradient': {
      const own = { ...tensors, weights: device.tensor(new Float32Array(rows).fill(1), [rows]) };
      return single(bench, kernel, () =>
        launch(device, own, ['logits', 'targets', 'weights', 'result'], (operands) => {
          const { logits, targets, weights, result } = operands;
          const problem = { logits: logits, targets: targets, ignoredTarget: width };
          return launchCrossEntropyGradient(problem, weights, result, traits);
        }),
      );
    }
  }
}

function ownLayerNormGradient(bench: Bench, { kernel, rows, width }: RowWork): OwnWork {
  const { device } = bench;
  const { traits } = device;
  const groups = columnSumGroups(rows, 2 * width, traits);
  const parts = device.empty('f32', [groups, 2, width]);
  const sums = device.empty('f32', [2 * width]);
  const tensors = { ...bench.tensors, statistics: device.empty('f32', [rows, 2]), parts };
  const record = (): void => {
    const order = ['x', 'gradient', 'weight', 'result', 'statistics'] as const;
    launch(device, tensors, order, (operands) =>
      launchLayerNormGradient({ ...operands, epsilon: layerNormEpsilon }, traits),
    );
    launch(device, tensors, ['x', 'gradient', 'statistics', 'parts'], (operands) =>
      launchLayerNormWeightGradient(
        operands.x,
        operands.gradient,
        operands.statistics,
        operands.parts,
        traits,
      ),
    );
    sumColumns(bench.device, [parts.reshape([groups, 2 * width]), sums]);
  };
  return {
    outputs: {
      result: bench.tensors['result']!,
      weightGradient: sums.slice(0, 0, width),
      biasGradient: sums.slice(0, width),
    },
    variants: [{ name: kernel, record }],
  };
}

export function ownEmbedding(bench: Bench, { kernel, rows, tableRows }: EmbeddingWork): OwnWork {
  const { device, tensors } = bench;
  const { traits } = device;
  if (kernel === 'embedding') {
    const views = { ...tensors, ids: tensors['index']!.reshape([1, rows]) };
    return single(bench, kernel, () =>
      launch(device, views, ['table', 'ids', 'result'], ({ table, ids, result }) =>
        launchEmbedding(
          {
            table: table,
            windowStart: 0,
            tableRows,
            ids: ids,
            scale: 1,
            result: { ...result, shape: [1, ...result.shape], strides: [0, ...result.strides] },
          },
          traits,
        ),
      ),
    );
  }
  const outer = (tensor: Tensor): Tensor => tensor.reshape([1, ...tensor.shape]);
  if (kernel === 'gather') {
    const views = {
      x: outer(tensors['table']!),
      index: outer(tensors['index']!),
      result: outer(tensors['result']!),
    };
    return single(bench, kernel, () =>
      launch(device, views, ['x', 'index', 'result'], (operands) =>
        launchGather({ ...operands, windowStart: 0, axis: tableRows }, traits),
      ),
    );
  }
  const views = {
    gradient: outer(tensors['gradient']!),
    index: outer(tensors['index']!),
    order: device.empty('u32', [1, rows]),
    result: outer(tensors['result']!),
  };
  const picks = { axis: tableRows, outside: 'nowhere' } as const;
  return single(bench, kernel, () => {
    launch(device, views, ['result'], ({ result }) => launchFill(0, result, traits));
    launch(device, views, ['index', 'order'], (operands) =>
      launchSortIndices({ ...picks, ...operands }, traits),
    );
    launch(device, views, ['gradient', 'index', 'order', 'result'], (operands) =>
      launchScatter({ ...picks, ...operands, scale: 1, windowStart: 0 }, traits),
    );
  });
}

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
