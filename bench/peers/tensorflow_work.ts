/** Pieces of work by TensorFlow.js's operations, as its layers compose them. */
import type { AttentionWork, MatmulWork, Work } from '../kernels/work.js';
import { dropoutProbability, layerNormEpsilon, lerpWeight, momentumFactor } from '../kernels/settings.js';
import { PeerUnable, noOperator } from './peer_unable.js';
import type { TensorFlow, TensorFlowTensor, TensorFlowTensors } from './tensorflow_api.js';

export interface TensorFlowWork {
  /** Operands besides the inputs, which a user would make once. */
  readonly constants?: TensorFlowTensors;
  readonly compute: (operands: TensorFlowTensors) => TensorFlowTensors;
  readonly note?: string;
}

type Tensor = TensorFlowTensor;

/** Its gradient functions always compute what they are the gradient of. */
const bothWays = 'forward and backward';

/**
 * What computes some work, outputs by name.
 * @throws PeerUnable where TensorFlow.js cannot
 */
export function tensorFlowWork(tf: TensorFlow, work: Work): TensorFlowWork {
  const forward = (
    call: (operands: TensorFlowTensors) => Tensor,
    rest: Partial<TensorFlowWork> = {},
  ): TensorFlowWork => ({ compute: (operands) => ({ result: call(operands) }), ...rest });
  /** Gradients by the names of the outputs, of the inputs in the same order. */
  const backward = (
    call: (...xs: Tensor[]) => Tensor,
    names: readonly string[],
    inputs: (operands: TensorFlowTensors) => readonly [xs: readonly Tensor[], resultGradient: Tensor],
    constants: TensorFlowTensors = {},
  ): TensorFlowWork => ({
    constants,
    compute: (operands) => {
      const gradients = tf.grads(call)(...inputs(operands));
      return Object.fromEntries(names.map((name, i) => [name, gradients[i]!]));
    },
    note: bothWays,
  });

  switch (work.kernel) {
    case 'matmul':
      return forward((inputs) => matmul(tf, work, inputs));
    case 'attention': {
      const { mask } = causalMask(tf, work);
      return forward(({ query, key, value }) => attention(tf, work, mask, [query!, key!, value!]), {
        constants: mask ? { mask } : {},
      });
    }
    case 'attention_gradient': {
      const { mask } = causalMask(tf, work);
      return backward(
        (query, key, value) => attention(tf, work, mask, [query, key, value]),
        ['queryGradient', 'keyGradient', 'valueGradient'],
        ({ query, key, value, outputGradient }) => [[query!, key!, value!], outputGradient!],
        mask ? { mask } : {},
      );
    }
    case 'layernorm':
      return forward(({ x, weight, bias }) => layerNorm(tf, x!, weight!, bias!));
    case 'layernorm_gradient':
      return backward(
        (x, weight, bias) => layerNorm(tf, x, weight, bias),
        ['result', 'weightGradient', 'biasGradient'],
        ({ x, weight, zeros, gradient }) => [[x!, weight!, zeros!], gradient!],
        { zeros: tf.zeros([work.width]) },
      );
    case 'softmax':
      return forward(({ x }) => tf.softmax(x!));
    case 'softmax_gradient':
      return backward(
        (x) => tf.softmax(x),
        ['result'],
        ({ x, gradient }) => [[x!], gradient!],
      );
    case 'argmax':
      return forward(({ x }) => tf.argMax(x!, 1));
    case 'mean':
      return forward(({ x }) => tf.mean(x!, 1));
    case 'column_sum':
      return forward(({ x }) => tf.sum(x!, -2));
    case 'cross_entropy':
      return forward(({ logits, targets }) => crossEntropy(tf, logits!, targets!, work.width));
    case 'cross_entropy_gradient':
      return {
        constants: { ones: tf.ones([work.rows]) },
        compute: ({ logits, targets, ones }) => {
          const losses = tf.grads((x) => crossEntropy(tf, x, targets!, work.width));
          return { result: losses([logits!], ones!)[0]! };
        },
        note: bothWays,
      };
    case 'embedding':
    case 'gather':
      return forward(({ table, index }) => tf.gather(table!, index!));
    case 'embedding_gradient':
      return {
        constants: { table: tf.zeros([work.tableRows, work.width]) },
        compute: ({ gradient, index, table }) => ({
          result: tf.grads((x) => tf.gather(x, index!))([table!], gradient!)[0]!,
        }),
        note: bothWays,
      };
    case 'copy':
      return forward(({ x }) => tf.add(x!, 0), { note: 'x + 0: its copies share their memory' });
    case 'add':
      return forward(({ x, y }) => tf.add(x!, y!));
    case 'dropout':
      return forward(({ x }) => tf.dropout(x!, dropoutProbability));
    case 'gelu':
    case 'quick_gelu': {
      const kind = work.kernel;
      return forward(({ x }) => activation(tf, kind, x!));
    }
    case 'gelu_gradient':
    case 'quick_gelu_gradient': {
      const kind = work.kernel === 'gelu_gradient' ? 'gelu' : 'quick_gelu';
      return backward(
        (x) => activation(tf, kind, x),
        ['result'],
        ({ x, gradient }) => [[x!], gradient!],
      );
    }
    case 'square_sum':
      return forward(({ x }) => tf.sum(tf.mul(x!, x!), 0));
    case 'momentum':
      return {
        compute: ({ buffer, gradient }) => {
          const moved = tf.add(tf.mul(buffer!, momentumFactor), gradient!);
          return { buffer: moved, result: tf.add(gradient!, tf.mul(moved, momentumFactor)) };
        },
      };
    case 'lerp':
      return {
        compute: ({ average, value }) => ({
          average: tf.add(average!, tf.mul(tf.sub(value!, average!), lerpWeight)),
        }),
      };
    case 'cast':
    case 'end_padding':
    case 'gradient_norm':
    case 'quantize':
      throw new PeerUnable(noOperator);
    case 'fill':
      throw new PeerUnable('zeros are uploaded');
    case 'adamw':
      throw new PeerUnable('no AdamW');
  }
}

function activation(tf: TensorFlow, kind: 'gelu' | 'quick_gelu', x: Tensor): Tensor {
  return kind === 'gelu'
    ? tf.mul(tf.mul(x, 0.5), tf.add(tf.erf(tf.mul(x, Math.SQRT1_2)), 1))
    : tf.mul(x, tf.sigmoid(tf.mul(x, 1.702)));
}

function matmul(tf: TensorFlow, work: MatmulWork, inputs: TensorFlowTensors): Tensor {
  const { left, right, bias, residual } = inputs;
  const product = tf.fused.matMul({
    a: left!,
    b: right!,
    transposeA: work.leftTransposed,
    transposeB: work.rightTransposed,
    ...(bias ? { bias } : {}),
  });
  const activated = work.activation === 'none' ? product : activation(tf, work.activation, product);
  return residual ? tf.add(activated, residual) : activated;
}

function attention(
  tf: TensorFlow,
  { width }: AttentionWork,
  mask: Tensor | undefined,
  [query, key, value]: readonly [Tensor, Tensor, Tensor],
): Tensor {
  const scores = tf.mul(tf.matMul(query, key, false, true), 1 / Math.sqrt(width));
  return tf.matMul(tf.softmax(mask ? tf.add(scores, mask) : scores), value, false, false);
}

/** 0 for keys up to the query and -10000 behind it, where that is asked for. */
function causalMask(tf: TensorFlow, { causal, queries, keys }: AttentionWork): { readonly mask?: Tensor } {
  if (!causal) return {};
  const mask = Float32Array.from({ length: queries * keys }, (_, i) =>
    i % keys > Math.floor(i / keys) ? -10000 : 0,
  );
  return { mask: tf.tensor(mask, [queries, keys], 'float32') };
}

function layerNorm(tf: TensorFlow, x: Tensor, weight: Tensor, bias: Tensor): Tensor {
  const { mean, variance } = tf.moments(x, 1, true);
  const scale = tf.mul(tf.rsqrt(tf.add(variance, layerNormEpsilon)), weight);
  return tf.add(tf.mul(tf.sub(x, mean), scale), bias);
}

function crossEntropy(tf: TensorFlow, logits: Tensor, targets: Tensor, classes: number): Tensor {
  return tf.losses.softmaxCrossEntropy(tf.oneHot(targets, classes), logits, undefined, 0, tf.Reduction.NONE);
}
