/** Matrix products and attention by our own kernels, every variant. */
import { type Tensor, attention } from '../../engine/index.js';
import {
  type AttentionBackwardProblem,
  type AttentionProblem,
  type MatmulProblem,
  type Operand,
  attentionBackwardSteps,
  attentionBackwardFamily,
  attentionFamily,
  matmulFamily,
  matmulOperands,
  matmulOperandsByName,
} from '../../kernels/index.js';
import { type Bench, type OwnWork, choiceAmong, columnSums, launch, operandOf } from './own_work.js';
import { type AttentionWork, type MatmulWork, type NumberType, roleOf } from './work.js';

export function ownMatmul({ device, tensors }: Bench, work: MatmulWork, dtype: NumberType): OwnWork {
  const { left, right, bias, residual, result } = tensors;
  const outer = (tensor: Tensor): Tensor => tensor.reshape([1, ...tensor.shape]);
  const views = {
    left: work.leftTransposed ? outer(left!).transpose() : outer(left!),
    right: work.rightTransposed ? outer(right!).transpose() : outer(right!),
    bias,
    residual: residual && outer(residual),
    result: outer(result!),
  };
  const problemOf = (operands: readonly Operand[]): MatmulProblem => ({
    ...matmulOperandsByName(operands, views),
    activation: work.activation,
    scale: 1,
    halves: roleOf(work) === 'gradient of a weight' && dtype === 'f16',
  });
  const whole = problemOf(matmulOperands(views).map(operandOf));
  const applicable = matmulFamily.variants.filter((variant) => variant.canApply(whole, device.traits));
  return {
    outputs: { result: result! },
    choice: choiceAmong(matmulFamily, whole, device.traits),
    variants: applicable.map((variant) => {
      const { name } = variant;
      const parts = variant.parts?.(whole);
      const filled = parts ? device.empty('f32', views.result.shape.with(1, parts)) : views.result;
      const multiply = (): void =>
        device.dispatch(
          (operands) => variant.launch(problemOf(operands), device.traits),
          matmulOperands({ ...views, result: filled }),
          () => 'benchmark',
        );
      if (!parts) return { name, record: multiply };
      const sum = columnSums(device, filled.reshape([parts, -1]), views.result.reshape([-1]));
      return {
        name,
        record: () => {
          multiply();
          sum();
        },
      };
    }),
  };
}

const attentionOperands = ['query', 'key', 'value', 'result'] as const;

export function ownAttention({ device, tensors }: Bench, work: AttentionWork): OwnWork {
  const rest = { causal: work.causal, scale: 1 / Math.sqrt(work.width) };
  const { query, key, value, result } = tensors as Record<(typeof attentionOperands)[number], Tensor>;
  const own = { query, key, value, result };
  const whole: AttentionProblem = {
    query: operandOf(query),
    key: operandOf(key),
    value: operandOf(value),
    result: operandOf(result),
    ...rest,
  };
  const applicable = attentionFamily.variants.filter((variant) => variant.canApply(whole, device.traits));
  return {
    outputs: { result },
    choice: choiceAmong(attentionFamily, whole, device.traits),
    variants: applicable.map((variant) => ({
      name: variant.name,
      record: () =>
        launch(device, own, attentionOperands, (operands) =>
          variant.launch({ ...operands, ...rest }, device.traits),
        ),
    })),
  };
}

/** What the steps of the gradients bind; there is neither mask nor padding. */
const gradientOperands = [
  'query',
  'key',
  'value',
  'output',
  'outputGradient',
  'statistics',
  'queryGradient',
  'keyValueGradient',
] as const;
type GradientOperand = (typeof gradientOperands)[number];

/** The gradients start from what attention gave, which is computed once before. */
export function ownAttentionGradient({ device, tensors }: Bench, work: AttentionWork): OwnWork {
  const { batch, heads, queries, keys, width, causal } = work;
  const rest = { causal, scale: 1 / Math.sqrt(width) };
  const { query, key, value, outputGradient, queryGradient } = tensors as Record<string, Tensor>;
  const keyValueGradient = device.empty(key!.dtype, [2, batch, heads, keys, width]);
  const own = {
    query,
    key,
    value,
    // The engine's attention puts heads inside tokens.
    output: attention(query!, key!, value!, { causal }).splitHeads(heads),
    outputGradient,
    statistics: device.empty('f32', [batch, heads, queries, 2]),
    queryGradient,
    keyValueGradient,
  } as Record<GradientOperand, Tensor>;
  const whole = {
    ...Object.fromEntries(gradientOperands.map((name) => [name, operandOf(own[name])])),
    ...rest,
  } as unknown as AttentionBackwardProblem;
  const applicable = attentionBackwardFamily.variants.filter((variant) =>
    variant.canApply(whole, device.traits),
  );
  const isBound = (name: string): name is GradientOperand => name in own;
  return {
    outputs: {
      queryGradient: queryGradient!,
      keyGradient: keyValueGradient.select(0, 0),
      valueGradient: keyValueGradient.select(0, 1),
    },
    choice: choiceAmong(attentionBackwardFamily, whole, device.traits),
    variants: applicable.map((variant) => ({
      name: variant.name,
      record: () => {
        for (const step of attentionBackwardSteps) {
          const order = step.operands.filter(isBound);
          launch(device, own, order, (operands) =>
            variant.launch(step.name, { ...whole, ...operands }, device.traits),
          );
        }
      },
    })),
  };
}
