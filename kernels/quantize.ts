import { isDense } from './dimensions.js';
import {
  type AdapterTraits,
  type Launch,
  type Operand,
  elementCount,
  notANumberBits,
  spreadWorkgroups,
  storageFeatures,
  u32,
} from './kernel.js';
import { streamSpan } from './stream.js';

/** Neighbours along a row that share a scale in the type `q8`. */
export const quantizedBlock = 32;

/**
 * Quantises floats. Operands: x f32 or f16, result q8, both dense and of one size.
 * @throws Error where they are not, or do not begin and end at blocks
 */
export function launchQuantize(x: Operand, result: Operand, traits: AdapterTraits): Launch {
  const count = elementCount(x.shape);
  for (const [name, { shape, strides, offset }] of Object.entries({ x, result })) {
    const whole = elementCount(shape) === count && count % quantizedBlock === 0;
    if (!whole || offset % (name === 'x' ? 4 : quantizedBlock) !== 0 || !isDense(shape, strides)) {
      throw new Error(
        `quantize: ${name} [${shape.join(',')}] at ${offset} must be dense, of ${count} elements and at whole blocks of ` +
          `${quantizedBlock}`,
      );
    }
  }
  const blocks = count / quantizedBlock;
  const { lanes, span } = streamSpan(blocks, traits);
  return {
    kernel: 'quantize',
    file: 'quantize.wgsl',
    defines: { X: x.dtype, WORKGROUP: lanes },
    features: storageFeatures([x]),
    access: ['read', 'write'],
    params: {
      vectors: u32(blocks),
      span: u32(span),
      xOffset: u32(x.offset / 4),
      resultOffset: u32(result.offset / quantizedBlock),
      notANumber: u32(notANumberBits),
    },
    workgroups: spreadWorkgroups(Math.ceil(blocks / span), traits),
  };
}
