/** Work on rows by our own kernels. Each has one variant. */
import { type Tensor, softmax } from '../../engine/index.js';
import {
  columnSumGroups,
  launchArgmax,
  launchCrossEntropy,
  launchCrossEntropyGradient,
  launchEndPadding,
  launchLayerNorm,
  launchLayerNormGradient,
  launchLayerNormWeightGradient,
  launchReduce,
  launchSoftmax,
  launchSoftmaxGradient,
} from '../../kernels/index.js';
import { type Bench, type OwnWork, columnSums, launch, single } from './own_work.js';
import { endId, layerNormEpsilon } from './settings.js';
import type { RowWork } from './work.js';

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
    case 'end_padding':
      return single(bench, kernel, () =>
        launch(device, tensors, ['texts', 'result'], ({ texts, result }) =>
          launchEndPadding(endId, texts, result, traits),
        ),
      );
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
    case 'column_sum':
      return single(bench, kernel, columnSums(device, tensors['x']!, tensors['result']!));
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
  const made = (...shape: number[]): Tensor => device.empty('f32', shape);
  const [weights, biases] = [made(groups, width), made(groups, width)];
  const [weightGradient, biasGradient] =
    groups > 1 ? [made(width), made(width)] : [weights, biases].map((own) => own.reshape([width]));
  const tensors = { ...bench.tensors, statistics: made(rows, 2), weights, biases };
  const sums =
    groups > 1
      ? [columnSums(device, weights, weightGradient!), columnSums(device, biases, biasGradient!)]
      : [];
  const record = (): void => {
    const order = ['x', 'gradient', 'weight', 'result', 'statistics'] as const;
    launch(device, tensors, order, (operands) =>
      launchLayerNormGradient({ ...operands, epsilon: layerNormEpsilon }, traits),
    );
    launch(device, tensors, ['x', 'gradient', 'statistics', 'weights', 'biases'], (operands) =>
      launchLayerNormWeightGradient(operands, { weight: operands.weights, bias: operands.biases }, traits),
    );
    for (const step of sums) step();
  };
  return {
    outputs: {
      result: bench.tensors['result']!,
      weightGradient: weightGradient!,
      biasGradient: biasGradient!,
    },
    variants: [{ name: kernel, record }],
  };
}
