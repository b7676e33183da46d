/** Stacks of transformer blocks with made-up weights, forward and backward. */
import { type Device, type Tensor, backward, noGrad } from '../../engine/index.js';
import { Parameters } from '../../model/parameters.js';
import type { Precision } from '../../model/index.js';
import { clipBlockNames, transformerBlock } from '../../model/transformer.js';
import { parameterSource } from '../../train/parameter_source.js';
import { type BlockSizes, headWidth } from './axes.js';

/** Work that can be recorded again and again. */
export interface BlockStack {
  readonly forward: () => void;
  /** Forward, then the gradients of all weights and of the input. */
  readonly training: () => void;
  readonly dispose: () => void;
}

const prefix = (block: number): string => `blocks.${block}`;

function shapesOf(width: number, depth: number): Map<string, readonly number[]> {
  const shapes = new Map<string, readonly number[]>();
  for (let block = 0; block < depth; block++) {
    const names = clipBlockNames(prefix(block));
    const linears: [string, number, number][] = [
      [names.attentionOutput, width, width],
      [names.expand, 4 * width, width],
      [names.contract, width, 4 * width],
    ];
    for (const norm of [names.norm1, names.norm2]) {
      shapes.set(`${norm}.weight`, [width]).set(`${norm}.bias`, [width]);
    }
    for (const [name, outputs, inputs] of linears) {
      shapes.set(`${name}.weight`, [outputs, inputs]).set(`${name}.bias`, [outputs]);
    }
    shapes.set(names.attentionInput[0], [3 * width, width]).set(names.attentionInput[1], [3 * width]);
  }
  return shapes;
}

/** Small values of both signs, so that sums neither grow nor vanish. */
function weightValues(shape: readonly number[]): Float32Array {
  const count = shape.reduce((product, size) => product * size, 1);
  const scale = 1 / Math.sqrt(shape.at(-1)!);
  return Float32Array.from({ length: count }, (_, i) => scale * Math.sin(1 + 0.37 * i));
}

/** Uploads the weights and an input `[batch, tokens, width]`. */
export async function openBlocks(
  device: Device,
  { batch, tokens, width, depth }: BlockSizes,
  precision: Precision,
): Promise<BlockStack> {
  const read = (_: string, shape: readonly number[]): Promise<Float32Array> =>
    Promise.resolve(weightValues(shape));
  const source = parameterSource('blocks', 'clip', shapesOf(width, depth), read);
  const parameters = await Parameters.load(device, source, precision);
  const input = device.keep(
    device.tensor(weightValues([batch, tokens, width]) as Float32Array<ArrayBuffer>, [batch, tokens, width]),
  );
  const options = {
    heads: width / headWidth,
    activation: 'quick_gelu',
    epsilon: 1e-5,
    causal: false,
  } as const;
  const forward = (): Tensor => {
    let x = input;
    for (let block = 0; block < depth; block++) {
      x = transformerBlock(x, parameters, clipBlockNames(prefix(block)), options);
    }
    return x;
  };
  const trained = [input, ...[...parameters.entries()].map(([, tensor]) => tensor)];
  return {
    forward: () => device.scope(() => void noGrad(forward)),
    training() {
      for (const tensor of trained) tensor.requireGradient();
      // Any gradient of the result does.
      device.scope(() => backward(forward(), input.detach()));
      for (const tensor of trained) {
        tensor.clearGradient();
        tensor.requireGradient(false);
      }
    },
    dispose() {
      parameters.dispose();
      input.dispose();
    },
  };
}
