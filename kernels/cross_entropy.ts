import {
  type AdapterTraits,
  type Launch,
  type Operand,
  notANumberBits,
  spreadWorkgroups,
  storageFeatures,
  u32,
} from './kernel.js';
import { rowSharing } from './row_launch.js';

export interface CrossEntropyProblem {
  /** `[rows, classes]`, classes contiguous. */
  readonly logits: Operand;
  /** `[rows]` u32. */
  readonly targets: Operand;
  /** Rows with this target give 0, whatever their logits. It may lie inside or outside the classes. */
  readonly ignoredTarget: number;
}

function launchRowsWithTargets(
  kernel: string,
  problem: CrossEntropyProblem,
  weights: Operand | undefined,
  result: Operand,
  traits: AdapterTraits,
): Launch {
  const { logits, targets } = problem;
  const [rows, classes] = logits.shape as [number, number];
  if (logits.strides[1] !== 1 && classes > 1) {
    throw new Error(`${kernel}: the classes must be contiguous, their stride is ${logits.strides[1]}`);
  }
  const { workgroup, subgroup, lanes, span } = rowSharing(rows, classes, traits);
  return {
    kernel,
    file: 'cross_entropy.wgsl',
    defines: {
      GRADIENT: weights !== undefined,
      X: logits.dtype,
      RESULT: result.dtype,
      WORKGROUP: workgroup,
      LANES: lanes,
      SUBGROUP: subgroup,
    },
    features: [...storageFeatures([logits, result]), ...(subgroup ? (['subgroups'] as const) : [])],
    access: ['read', 'read', ...(weights ? (['read'] as const) : []), 'write'],
    params: {
      rows: u32(rows),
      span: u32(span),
      columns: u32(classes),
      ignored: u32(problem.ignoredTarget),
      notANumber: u32(notANumberBits),
      logitsOffset: u32(logits.offset),
      logitsStride: u32(logits.strides[0]!),
      targetsOffset: u32(targets.offset),
      targetsStride: u32(targets.strides[0]!),
      weightsOffset: u32(weights?.offset ?? 0),
      weightsStride: u32(weights?.strides[0] ?? 0),
      resultOffset: u32(result.offset),
      resultStride: u32(result.strides[0]!),
    },
    workgroups: spreadWorkgroups(Math.ceil(rows / span), traits),
  };
}

/**
 * Cross entropy of each row: `-log(softmax(logits)[target])`, 0 for an ignored row, NaN for a target that is neither
 * ignored nor a class. Operands: logits, targets, result `[rows]` f32.
 */
export function launchCrossEntropy(
  problem: CrossEntropyProblem,
  result: Operand,
  traits: AdapterTraits,
): Launch {
  return launchRowsWithTargets('cross_entropy', problem, undefined, result, traits);
}

/**
 * Gradient of the logits: `(softmax(logits) - onehot(target)) * weight`, 0 in an ignored row, NaN in a row with a bad
 * target. `weights` are f32 `[rows]`, the gradient of each row's loss; a stride of 0 gives all rows one.
 * Operands: logits, targets, weights, result `[rows, classes]`, classes contiguous.
 */
export function launchCrossEntropyGradient(
  problem: CrossEntropyProblem,
  weights: Operand,
  result: Operand,
  traits: AdapterTraits,
): Launch {
  return launchRowsWithTargets('cross_entropy_gradient', problem, weights, result, traits);
}
