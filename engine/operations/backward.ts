/** The gradients' part of an operation row, and its record in the graph. */
import type { Dtype } from '../../kernels/index.js';
import { type GradientTarget, GraphNode, type OperationOrigin } from '../graph.js';
import { KeptValues } from '../kept_values.js';
import type { Tensor } from '../tensor.js';

/** What the gradients of an operation are computed from. */
export interface BackwardContext<I, A> {
  /** Gradient of the result. */
  readonly gradient: Tensor;
  readonly attributes: A;
  /** Names of the operands, in their order. */
  readonly names: readonly (keyof I & string)[];
  /** An operand, or the result, that the row saves. Optional operands that were absent are undefined. */
  readonly saved: <K extends keyof I | 'output'>(name: K) => K extends keyof I ? I[K] : Tensor;
  /** Type and shape that the gradient of an operand that was given is wanted in. */
  readonly target: (name: keyof I) => GradientTarget;
  /** Whether anybody wants an operand's gradient. */
  readonly needs: (name: keyof I) => boolean;
}

export interface Backward<I, A> {
  /** Operands, or the result, whose values the wanted gradients need; all others may be freed. */
  saves(attributes: A, needs: (name: keyof I) => boolean): readonly (keyof I | 'output')[];
  /** Type that gradients of the result are added up in, where that is not the result's own. */
  gradientDtype?(attributes: A, target: (name: keyof I) => GradientTarget): Dtype;
  /** Gradients by operand, of the operand's shape; an operand left out has none. */
  gradients(context: BackwardContext<I, A>): { readonly [K in keyof I]?: Tensor | undefined };
}

/** Records an operation: its result keeps what the gradients need. */
export function recordOperation<I extends Readonly<Record<string, Tensor | undefined>>, A>(
  name: string,
  backward: Backward<I, A>,
  inputs: I,
  output: Tensor,
  attributes: A,
): Tensor {
  const names = Object.keys(inputs) as (keyof I & string)[];
  const needs = (operand: keyof I): boolean => inputs[operand]?.node !== undefined;
  const saved = new Map<PropertyKey, Tensor>();
  for (const operand of backward.saves(attributes, needs)) {
    const tensor = operand === 'output' ? output : inputs[operand];
    if (tensor) saved.set(operand, tensor.device.keep(tensor.detach()));
  }
  const kept = new KeptValues(name, [...saved.values()]);
  const targets = new Map<PropertyKey, GradientTarget>();
  for (const operand of names) {
    const tensor = inputs[operand];
    if (tensor) targets.set(operand, tensor.node?.target ?? { dtype: tensor.dtype, shape: tensor.shape });
  }
  const target = (operand: keyof I): GradientTarget => targets.get(operand)!;
  const nodes = names.map((operand) => inputs[operand]?.node);
  const origin: OperationOrigin = {
    kind: 'operation',
    inputs: nodes,
    gradients(gradient) {
      kept.check();
      const given = backward.gradients({
        gradient,
        attributes,
        names,
        saved: (operand) => saved.get(operand) as never,
        target,
        needs: (operand) => nodes[names.indexOf(operand as keyof I & string)] !== undefined,
      });
      return names.map((operand) => given[operand]);
    },
    release() {
      kept.dispose();
    },
  };
  const dtype = backward.gradientDtype?.(attributes, target) ?? output.dtype;
  return output.recordAs(new GraphNode(name, { dtype, shape: output.shape }, origin));
}
