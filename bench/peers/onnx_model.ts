/** ONNX models that do a piece of work, for ONNX Runtime on the GPU and on the CPU. */
import { quantizedBlock } from '../../kernels/index.js';
import { halfBits } from '../../weights/half.js';
import type { OperandValues } from '../kernels/values.js';
import {
  type AttentionWork,
  type FloatType,
  type MatmulWork,
  type NumberType,
  type Work,
  roleOf,
} from '../kernels/work.js';
import {
  type OnnxInitializer,
  type OnnxNode,
  type OnnxTensor,
  microsoft,
  onnxBytes,
  onnxTypes,
} from './onnx_format.js';
import { type PeerOperand, peerOperands, toPeer } from './operands.js';
import { layerNormEpsilon } from '../kernels/settings.js';
import { PeerUnable, noOperator } from './peer_unable.js';

/** A token's heads lie side by side: what ONNX Runtime's attention takes. */
export const onnxLayout = 'tokens first';

export interface OnnxInput extends OnnxTensor {
  readonly data: Float32Array | Uint16Array | Int32Array;
}

export interface OnnxModel {
  readonly bytes: Uint8Array;
  /** Inputs and what they hold. Weights are in the model. */
  readonly inputs: readonly OnnxInput[];
  readonly outputs: readonly OnnxTensor[];
}

/** Stands for minus infinity in a mask; f16 holds it. */
const masked = -10000;

/** Collects nodes; each gives the name of its output. */
class Graph {
  readonly nodes: OnnxNode[] = [];
  readonly constants: OnnxInitializer[] = [];

  constructor(private readonly floats: FloatType) {}

  /** The type of its floats as the format numbers it. */
  get floatsNumber(): number {
    return onnxTypes[this.floats === 'f16' ? 'float16' : 'float32'];
  }

  add(operator: string, inputs: readonly string[], rest: Partial<OnnxNode> = {}): string {
    const output = `t${this.nodes.length}`;
    this.nodes.push({ operator, inputs, output, ...rest });
    return output;
  }

  floatConstant(name: string, shape: readonly number[], values: Float32Array): string {
    this.constants.push(initializer({ name, shape, dtype: this.floats }, values));
    return name;
  }

  integers(name: string, values: readonly number[]): string {
    const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    this.constants.push({ name, type: 'int64', shape: [values.length], bytes });
    return name;
  }

  /**
   * Rows of floats as int8 in blocks, each with a scale: what the operator for products with them takes.
   * @param name of the numbers; the scales are `<name>_scales`
   */
  int8Blocks(name: string, [rows, depth]: readonly [number, number], values: ArrayLike<number>): void {
    const blocks = (rows * depth) / quantizedBlock;
    const scales = new Float32Array(blocks);
    const bytes = new Uint8Array(rows * depth);
    for (let block = 0; block < blocks; block++) {
      const own = Array.from({ length: quantizedBlock }, (_, i) => values[block * quantizedBlock + i]!);
      const scale = Math.max(...own.map(Math.abs)) / 127;
      scales[block] = scale;
      // 128 stands for 0.
      for (const [i, value] of own.entries())
        bytes[block * quantizedBlock + i] = 128 + Math.round(scale > 0 ? value / scale : 0);
    }
    const shape = [rows, depth / quantizedBlock, quantizedBlock];
    this.constants.push({ name, type: 'uint8', shape, bytes });
    this.floatConstant(`${name}_scales`, [blocks], scales);
  }

  holds(constant: string): boolean {
    return this.constants.some(({ name }) => name === constant);
  }

  /** The nodes, the last of which gives the result. */
  finished(): OnnxNode[] {
    return this.nodes.map((node, i) => (i === this.nodes.length - 1 ? { ...node, output: 'result' } : node));
  }
}

function typeOf({ dtype }: PeerOperand): 'float32' | 'float16' | 'int32' {
  if (dtype === 'u32') return 'int32';
  return dtype === 'f16' ? 'float16' : 'float32';
}

function stored(operand: PeerOperand, values: Float32Array | Uint32Array): OnnxInput['data'] {
  if (values instanceof Uint32Array) return Int32Array.from(values);
  return operand.dtype === 'f16' ? Uint16Array.from(values, halfBits) : values;
}

function initializer(operand: PeerOperand, values: Float32Array | Uint32Array): OnnxInitializer {
  const { buffer, byteOffset, byteLength } = stored(operand, values);
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  return { name: operand.name, type: typeOf(operand), shape: operand.shape, bytes };
}

/** Operands that are weights of a model: its user has them in the file, where the runtime can pack them once. */
function weightsOf(work: Work): readonly string[] {
  if (work.kernel === 'matmul') return roleOf(work) === 'by a weight' ? ['right', 'bias'] : ['bias'];
  if (work.kernel === 'layernorm') return ['weight', 'bias'];
  return work.kernel === 'embedding' ? ['table'] : [];
}

/**
 * A model for some work, its weights in it.
 * @throws PeerUnable for gradients, which ONNX Runtime has in no package of these
 */
export function onnxModel(work: Work, dtype: NumberType, values: OperandValues): OnnxModel {
  const floats = dtype === 'int8' ? 'f32' : dtype;
  const operands = peerOperands(work, floats, onnxLayout);
  const graph = new Graph(floats);
  if (dtype === 'int8' && work.kernel === 'matmul') buildInt8Matmul(graph, work, values['right']!);
  else build(graph, work);
  const laidOut = toPeer(work, onnxLayout, values);
  const weights = new Set(weightsOf(work));
  const described = (operand: PeerOperand): OnnxTensor => ({
    name: operand.name,
    // Attention takes a token's heads as one vector.
    shape: operand.shape.length === 4 ? joinedHeads(operand.shape) : operand.shape,
    type: typeOf(operand),
  });
  const inputs = operands.inputs
    .filter(({ name }) => !weights.has(name))
    .map((operand) => ({ ...described(operand), data: stored(operand, laidOut[operand.name]!) }));
  const outputs = operands.outputs.map(described).map(
    // What the operator gives; converting it would be work of its own.
    (output): OnnxTensor => (work.kernel === 'argmax' ? { ...output, type: 'int64' } : output),
  );
  const initializers = [
    ...graph.constants,
    ...operands.inputs
      .filter(({ name }) => weights.has(name) && !graph.holds(name))
      .map((operand) => initializer(operand, laidOut[operand.name]!)),
  ];
  return { bytes: onnxBytes({ nodes: graph.finished(), initializers, inputs, outputs }), inputs, outputs };
}

function joinedHeads([batch, tokens, heads, width]: readonly number[]): readonly number[] {
  return [batch!, tokens!, heads! * width!];
}

function build(graph: Graph, work: Work): void {
  const lastAxis = { attributes: { axis: -1 } };
  switch (work.kernel) {
    case 'matmul':
      buildMatmul(graph, work);
      return;
    case 'attention':
      buildAttention(graph, work);
      return;
    case 'layernorm':
      graph.add('LayerNormalization', ['x', 'weight', 'bias'], {
        attributes: { axis: -1, epsilon: layerNormEpsilon },
      });
      return;
    case 'softmax':
      graph.add('Softmax', ['x'], lastAxis);
      return;
    case 'argmax':
      graph.add('ArgMax', ['x'], { attributes: { axis: -1, keepdims: 0 } });
      return;
    case 'mean':
      graph.add('ReduceMean', ['x', graph.integers('axes', [-1])], { attributes: { keepdims: 0 } });
      return;
    case 'column_sum':
      graph.add('ReduceSum', ['x', graph.integers('axes', [-2])], { attributes: { keepdims: 0 } });
      return;
    case 'cross_entropy':
      buildCrossEntropy(graph);
      return;
    case 'embedding':
    case 'gather':
      graph.add('Gather', ['table', 'index'], { attributes: { axis: 0 } });
      return;
    case 'copy':
      graph.add('Identity', ['x']);
      return;
    case 'cast':
      graph.add('Cast', ['x'], { attributes: { to: graph.floatsNumber } });
      return;
    case 'add':
      graph.add('Add', ['x', 'y']);
      return;
    case 'gelu':
    case 'quick_gelu':
      buildActivation(graph, work.kernel, 'x');
      return;
    case 'square_sum':
      graph.add('ReduceSumSquare', ['x'], { attributes: { keepdims: 1 } });
      return;
    case 'end_padding':
    case 'gradient_norm':
    case 'quantize':
      throw new PeerUnable(noOperator);
    case 'fill':
      throw new PeerUnable('constants are made once');
    case 'adamw':
    case 'momentum':
    case 'lerp':
      throw new PeerUnable('no optimizers in inference packages');
    case 'dropout':
      throw new PeerUnable('no dropout in inference packages');
    case 'attention_gradient':
    case 'layernorm_gradient':
    case 'softmax_gradient':
    case 'cross_entropy_gradient':
    case 'embedding_gradient':
    case 'gelu_gradient':
    case 'quick_gelu_gradient':
      throw new PeerUnable('no gradients');
  }
}

function buildActivation(graph: Graph, kind: 'gelu' | 'quick_gelu', x: string): string {
  return kind === 'gelu'
    ? graph.add('Gelu', [x], { domain: microsoft })
    : graph.add('QuickGelu', [x], { domain: microsoft, attributes: { alpha: 1.702 } });
}

function buildMatmul(graph: Graph, work: MatmulWork): void {
  const { batch, leftTransposed, rightTransposed, bias } = work;
  let last: string;
  if (batch === 1 && (leftTransposed || rightTransposed)) {
    last = graph.add('Gemm', ['left', 'right', ...(bias ? ['bias'] : [])], {
      attributes: { transA: Number(leftTransposed), transB: Number(rightTransposed) },
    });
  } else {
    const turned = (name: string, transposed: boolean): string =>
      transposed ? graph.add('Transpose', [name], { attributes: { perm: [0, 2, 1] } }) : name;
    last = graph.add('MatMul', [turned('left', leftTransposed), turned('right', rightTransposed)]);
    if (bias) last = graph.add('Add', [last, 'bias']);
  }
  buildEpilogue(graph, last, work);
}

function buildEpilogue(graph: Graph, product: string, { activation, residual }: MatmulWork): void {
  const last = activation === 'none' ? product : buildActivation(graph, activation, product);
  if (residual) graph.add('Add', [last, 'residual']);
}

/** By a weight in blocks of int8, one row an output. */
function buildInt8Matmul(graph: Graph, work: MatmulWork, weight: ArrayLike<number>): void {
  const { depth, columns, bias } = work;
  graph.int8Blocks('right', [columns, depth], weight);
  const product = graph.add(
    'MatMulNBits',
    ['left', 'right', 'right_scales', ...(bias ? ['', '', 'bias'] : [])],
    {
      domain: microsoft,
      attributes: { K: depth, N: columns, bits: 8, block_size: quantizedBlock },
    },
  );
  buildEpilogue(graph, product, work);
}

function buildAttention(graph: Graph, { heads, queries, keys, causal }: AttentionWork): void {
  const inputs = ['query', 'key', 'value'];
  if (causal) {
    const mask = Float32Array.from({ length: queries * keys }, (_, i) =>
      i % keys > Math.floor(i / keys) ? masked : 0,
    );
    // Neither bias of projections nor padding.
    inputs.push('', '', graph.floatConstant('mask', [1, 1, queries, keys], mask));
  }
  graph.add('MultiHeadAttention', inputs, { domain: microsoft, attributes: { num_heads: heads } });
}

/** `log(sum(exp(x))) - x[target]` of each row: the loss operator itself is not among those of the GPU. */
function buildCrossEntropy(graph: Graph): void {
  const column = graph.add('Unsqueeze', ['targets', graph.integers('axes', [1])]);
  const logarithms = graph.add('Log', [graph.add('Softmax', ['logits'], { attributes: { axis: -1 } })]);
  const picked = graph.add('GatherElements', [logarithms, column], { attributes: { axis: 1 } });
  const losses = graph.add('Neg', [graph.add('Squeeze', [picked, 'axes'])]);
  graph.add('Cast', [losses], { attributes: { to: 1 } });
}
