import {
  type AdapterTraits,
  type Cost,
  type Launch,
  type Operand,
  elementCount,
  f32,
  u32,
} from './kernel.js';

/** Independent chains hide the time that a multiply-add takes; a round is unrolled, so that its loop costs little. */
const [chains, steps] = [8, 8];

export interface MultiplyAddProblem {
  /** `[invocations]` f32, dense: a multiple of {@link multiplyAddWorkgroup}, 65,535 times it at most. */
  readonly result: Operand;
  readonly rounds: number;
  readonly factor: number;
  readonly term: number;
}

export function multiplyAddWorkgroup({ software, subgroupSize }: AdapterTraits): number {
  return software && subgroupSize > 0 ? subgroupSize : 64;
}

/**
 * Advances vectors by `x * factor + term` for nothing but the time it takes. Invocation i starts its chain c at
 * `i % 4 + c` and stores the sum of its chains' components. Operands: result.
 */
export function launchMultiplyAdd(
  { result, rounds, factor, term }: MultiplyAddProblem,
  traits: AdapterTraits,
): Launch {
  const workgroup = multiplyAddWorkgroup(traits);
  const workgroups = elementCount(result.shape) / workgroup;
  if (!Number.isInteger(workgroups)) {
    throw new RangeError(`multiply_add: ${elementCount(result.shape)} is no multiple of ${workgroup}`);
  }
  return {
    kernel: 'multiply_add',
    file: 'multiply_add.wgsl',
    defines: { WORKGROUP: workgroup, CHAINS: chains, STEPS: steps },
    features: [],
    access: ['write'],
    params: {
      rounds: u32(rounds),
      factor: f32(factor),
      term: f32(term),
      resultOffset: u32(result.offset),
    },
    workgroups: [workgroups, 1, 1],
  };
}

/** A multiply-add counts as two operations. */
export function multiplyAddCost({ result, rounds }: MultiplyAddProblem): Cost {
  const invocations = elementCount(result.shape);
  return { flops: 2 * 4 * chains * steps * rounds * invocations, bytes: 4 * invocations };
}
