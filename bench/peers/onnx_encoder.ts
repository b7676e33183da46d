/** CLIP's image encoder as an ONNX model, with the operators that exporters and optimizers make of it. */
import type { ImageEncoderConfiguration } from '../../model/configuration.js';
import { type OnnxInitializer, type OnnxNode, microsoft, onnxBytes } from './onnx_format.js';
import type { OnnxModel } from './onnx_model.js';

/** A parameter on the host. */
export interface HostParameter {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

class EncoderGraph {
  readonly nodes: OnnxNode[] = [];
  readonly initializers: OnnxInitializer[] = [];

  constructor(private readonly parameters: (name: string) => HostParameter) {}

  add(operator: string, inputs: readonly string[], rest: Partial<OnnxNode> = {}): string {
    const output = rest.output ?? `t${this.nodes.length}`;
    this.nodes.push({ operator, inputs, ...rest, output });
    return output;
  }

  constant(name: string, { shape, data }: HostParameter): string {
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    this.initializers.push({ name, type: 'float32', shape, bytes });
    return name;
  }

  integers(name: string, values: readonly number[]): string {
    const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    this.initializers.push({ name, type: 'int64', shape: [values.length], bytes });
    return name;
  }

  parameter(name: string): string {
    return this.constant(name, this.parameters(name));
  }

  /** A linear layer's weight, `[out, in]`, as a product takes it: `[in, out]`. */
  turned(name: string): string {
    const { shape, data } = this.parameters(name);
    const [rows, columns] = shape as [number, number];
    const turned = new Float32Array(data.length);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        turned[column * rows + row] = data[row * columns + column]!;
      }
    }
    return this.constant(name, { shape: [columns, rows], data: turned });
  }

  norm(x: string, name: string, epsilon: number): string {
    return this.add(
      'LayerNormalization',
      [x, this.parameter(`${name}.weight`), this.parameter(`${name}.bias`)],
      { attributes: { axis: -1, epsilon } },
    );
  }

  linear(x: string, name: string): string {
    const product = this.add('MatMul', [x, this.turned(`${name}.weight`)]);
    return this.add('Add', [product, this.parameter(`${name}.bias`)]);
  }
}

/**
 * The encoder with its projection.
 * @param parameters by name, without the encoder's prefix
 * @param images `[batch, 3, height, width]`, normalised
 * @returns a model whose output `features` is `[batch, 1 + patches, embed width]`
 */
export function onnxEncoder(
  { patchSize, width, layers, heads, activation, layerNormEpsilon }: ImageEncoderConfiguration,
  parameters: (name: string) => HostParameter,
  images: HostParameter,
): OnnxModel {
  const graph = new EncoderGraph(parameters);
  const [batch, , height, columns] = images.shape as [number, number, number, number];
  const patches = (height / patchSize[0]) * (columns / patchSize[1]);
  const cut = graph.add('Conv', ['images', graph.parameter('conv1.weight')], {
    attributes: { strides: [...patchSize], kernel_shape: [...patchSize] },
  });
  const flat = graph.add('Reshape', [cut, graph.integers('flat', [batch, width, patches])]);
  const embedded = graph.add('Transpose', [flat], { attributes: { perm: [0, 2, 1] } });
  const { data: classToken } = parameters('class_embedding');
  const repeated = new Float32Array(batch * width);
  for (let image = 0; image < batch; image++) repeated.set(classToken, image * width);
  const token = graph.constant('class_embedding', { shape: [batch, 1, width], data: repeated });
  const joined = graph.add('Concat', [token, embedded], { attributes: { axis: 1 } });
  const placed = graph.add('Add', [joined, graph.parameter('positional_embedding')]);
  let x = graph.norm(placed, 'ln_pre', layerNormEpsilon);
  for (let layer = 0; layer < layers; layer++) {
    const block = `transformer.resblocks.${layer}`;
    const attended = graph.add(
      'Attention',
      [
        graph.norm(x, `${block}.ln_1`, layerNormEpsilon),
        graph.turned(`${block}.attn.in_proj_weight`),
        graph.parameter(`${block}.attn.in_proj_bias`),
      ],
      { domain: microsoft, attributes: { num_heads: heads } },
    );
    const middle = graph.add('Add', [graph.linear(attended, `${block}.attn.out_proj`), x]);
    const expanded = graph.linear(graph.norm(middle, `${block}.ln_2`, layerNormEpsilon), `${block}.mlp.c_fc`);
    const active =
      activation === 'gelu'
        ? graph.add('Gelu', [expanded], { domain: microsoft })
        : graph.add('QuickGelu', [expanded], { domain: microsoft, attributes: { alpha: 1.702 } });
    x = graph.add('Add', [graph.linear(active, `${block}.mlp.c_proj`), middle]);
  }
  const normalized = graph.norm(x, 'ln_post', layerNormEpsilon);
  const projection = parameters('proj');
  graph.add('MatMul', [normalized, graph.parameter('proj')], { output: 'features' });
  const inputs = [{ name: 'images', type: 'float32', ...images }] as const;
  const shape = [batch, 1 + patches, projection.shape[1]!];
  const outputs = [{ name: 'features', type: 'float32', shape }] as const;
  const { nodes, initializers } = graph;
  return { bytes: onnxBytes({ nodes, initializers, inputs, outputs }), inputs, outputs };
}
