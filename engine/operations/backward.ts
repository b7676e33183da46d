/** The gradients' part of an operation row, and its record in the graph. */
import { type GradientTarget, GraphNode, type OperationOrigin } from '../graph.js';
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
  /** Type and shape of an operand that was given. */
  readonly target: (name: keyof I) => GradientTarget;
  /** Whether anybody wants an operand's gradient. */
  readonly needs: (name: keyof I) => boolean;
}

export interface Backward<I, A> {
  /** Operands, or the result, whose values the gradients need; all others may be freed. */
  saves(attributes: A): readonly (keyof I | 'output')[];
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
  const kept = new Map<PropertyKey, Tensor>();
  for (const saved of backward.saves(attributes)) {
    const tensor = saved === 'output' ? output : inputs[saved];
    if (!tensor) continue;
    kept.set(saved, tensor.device.keep(tensor.detach()));
  }
  const targets = new Map<PropertyKey, GradientTarget>();
  for (const operand of names) {
    const tensor = inputs[operand];
    if (tensor) targets.set(operand, { dtype: tensor.dtype, shape: tensor.shape });
  }
  const nodes = names.map((operand) => inputs[operand]?.node);
  const origin: OperationOrigin = {
    kind: 'operation',
    inputs: nodes,
    gradients(gradient) {
      const given = backward.gradients({
        gradient,
        attributes,
        names,
        saved: (operand) => kept.get(operand) as never,
        target: (operand) => targets.get(operand)!,
        needs: (operand) => nodes[names.indexOf(operand as keyof I & string)] !== undefined,
      });
      return names.map((operand) => given[operand]);
    },
    release() {
      for (const tensor of kept.values()) tensor.dispose();
    },
  };
  const { dtype, shape } = output;
  return output.recordAs(new GraphNode(name, { dtype, shape }, origin));
}
