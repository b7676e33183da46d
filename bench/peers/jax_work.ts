/** Pieces of work by jax-js's functions. */
import type { MatmulWork, Work } from '../kernels/work.js';
import type { Jax, JaxArray } from './jax_api.js';
import { dropoutProbability, layerNormEpsilon, lerpWeight } from '../kernels/settings.js';
import { PeerUnable, noOperator } from './peer_unable.js';

export type JaxArrays = Readonly<Record<string, JaxArray>>;

/** What floats are stored as, by jax-js's names. */
export type JaxFloats = 'float32' | 'float16';

type Call = (...xs: JaxArray[]) => JaxArray;

/** A function of some arrays, or its gradients by each of them. */
export interface JaxWork {
  readonly call: Call;
  readonly inputs: readonly JaxArray[];
  /** For gradients: that of the function's result. */
  readonly resultGradient?: JaxArray;
  /** Names of the outputs: the result, or gradients in the order of the inputs. */
  readonly outputs: readonly string[];
  readonly note?: string;
}

/**
 * What computes some work. It refers to the operands that it is given, and to zeros and ones of its own.
 * @throws PeerUnable where jax-js cannot
 */
export function jaxWork(jax: Jax, work: Work, floats: JaxFloats, operands: JaxArrays): JaxWork {
  const { numpy: np, nn, random } = jax;
  const given = (...names: string[]): JaxArray[] => names.map((name) => operands[name]!);
  const forward = (call: Call, ...names: string[]): JaxWork => ({
    call,
    inputs: given(...names),
    outputs: ['result'],
  });
  const backward = (call: Call, inputs: readonly JaxArray[], resultGradient: JaxArray): JaxWork => ({
    call,
    inputs,
    resultGradient,
    outputs: ['result'],
  });
  switch (work.kernel) {
    case 'matmul':
      return {
        call: (...xs) => matmul(jax, work, xs),
        inputs: Object.values(operands),
        outputs: ['result'],
      };
    case 'attention':
    case 'attention_gradient': {
      const call: Call = (query, key, value) =>
        nn.dotProductAttention(query, key, value, { isCausal: work.causal });
      const names = ['query', 'key', 'value'];
      if (work.kernel === 'attention') return forward(call, ...names);
      return {
        ...backward(call, given(...names), operands['outputGradient']!),
        outputs: names.map((name) => `${name}Gradient`),
      };
    }
    case 'layernorm':
    case 'layernorm_gradient': {
      const call: Call = (x, weight, bias) =>
        nn.standardize(x, -1, { epsilon: layerNormEpsilon }).mul(weight).add(bias);
      if (work.kernel === 'layernorm') return forward(call, 'x', 'weight', 'bias');
      const bias = operands['weight']!.ref.mul(0);
      return {
        ...backward(call, [...given('x', 'weight'), bias], operands['gradient']!),
        outputs: ['result', 'weightGradient', 'biasGradient'],
      };
    }
    case 'softmax':
      return forward((x) => nn.softmax(x, -1), 'x');
    case 'softmax_gradient':
      return backward((x) => nn.softmax(x, -1), given('x'), operands['gradient']!);
    case 'argmax':
      return forward((x) => np.argmax(x, 1), 'x');
    case 'mean':
      return forward((x) => np.mean(x, 1), 'x');
    case 'column_sum':
      return forward((x) => np.sum(x, -2), 'x');
    case 'cross_entropy':
      return forward(
        (logits, targets) => crossEntropy(jax, logits, targets, work.width),
        'logits',
        'targets',
      );
    case 'cross_entropy_gradient': {
      const [logits, targets] = given('logits', 'targets');
      const call: Call = (x) => crossEntropy(jax, x, targets!.ref, work.width);
      return backward(call, [logits!], np.ones([work.rows]).astype(floats));
    }
    case 'embedding':
    case 'gather':
      return forward((table, index) => np.take(table, index, 0), 'table', 'index');
    case 'embedding_gradient': {
      const [gradient, index] = given('gradient', 'index');
      const table = np.zeros([work.tableRows, work.width]).astype(floats);
      return backward((x) => np.take(x, index!.ref, 0), [table], gradient!);
    }
    case 'copy':
      return {
        ...forward((x) => np.minimum(x, Infinity), 'x'),
        note: 'min(x, infinity): its copies share their memory',
      };
    case 'cast':
      return forward((x) => x.astype(floats), 'x');
    case 'add':
      return forward((x, y) => x.add(y), 'x', 'y');
    case 'dropout':
      return {
        call: (x, key) => {
          const kept = random.bernoulli(key, 1 - dropoutProbability, [work.count]);
          return np.where(kept, x.mul(1 / (1 - dropoutProbability)), 0);
        },
        inputs: [...given('x'), random.key(1)],
        outputs: ['result'],
      };
    case 'gelu':
    case 'quick_gelu':
      return forward((x) => activation(jax, work.kernel === 'gelu', x), 'x');
    case 'gelu_gradient':
    case 'quick_gelu_gradient':
      return backward(
        (x) => activation(jax, work.kernel === 'gelu_gradient', x),
        given('x'),
        operands['gradient']!,
      );
    case 'square_sum':
      return forward((x) => np.sum(x.ref.mul(x), 0), 'x');
    case 'lerp':
      return {
        ...forward(
          (average, value) => value.mul(lerpWeight).add(average.mul(1 - lerpWeight)),
          'average',
          'value',
        ),
        outputs: ['average'],
      };
    case 'end_padding':
    case 'gradient_norm':
    case 'quantize':
      throw new PeerUnable(noOperator);
    case 'fill':
      throw new PeerUnable('constants are made once');
    case 'adamw':
    case 'momentum':
      throw new PeerUnable('its optimisers are another package');
  }
}

function activation({ nn }: Jax, exactGelu: boolean, x: JaxArray): JaxArray {
  return exactGelu ? nn.gelu(x, { approximate: false }) : x.ref.mul(nn.sigmoid(x.mul(1.702)));
}

/** @param operands left, right, then bias and residual where the work has them */
function matmul(jax: Jax, work: MatmulWork, [left, right, ...rest]: readonly JaxArray[]): JaxArray {
  const { numpy: np } = jax;
  let last = np.matmul(
    work.leftTransposed ? np.matrixTranspose(left!) : left!,
    work.rightTransposed ? np.matrixTranspose(right!) : right!,
  );
  const others = [...rest];
  if (work.bias) last = last.add(others.shift()!);
  if (work.activation !== 'none') last = activation(jax, work.activation === 'gelu', last);
  return work.residual ? last.add(others.shift()!) : last;
}

function crossEntropy({ numpy: np, nn }: Jax, logits: JaxArray, targets: JaxArray, width: number): JaxArray {
  const picked = nn.oneHot(targets, width).mul(nn.logSoftmax(logits, -1));
  return np.negative(np.sum(picked, 1));
}
