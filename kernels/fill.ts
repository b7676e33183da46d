import { dimensionParameters, foldDimensions, isDense } from './dimensions.js';
import {
  type AdapterTraits,
  type Launch,
  type Operand,
  elementCount,
  f32,
  spreadWorkgroups,
  storageFeatures,
  u32,
} from './kernel.js';
import { streamSpan, vectorType, vectorWidth } from './stream.js';

/**
 * Sets every element of a result of any strides to one value. Operands: result.
 * @throws RangeError where an integer type cannot hold the value
 */
export function launchFill(value: number, result: Operand, traits: AdapterTraits): Launch {
  const floats = result.dtype === 'f32' || result.dtype === 'f16';
  if (result.dtype === 'i32' && (value | 0) !== value) {
    throw new RangeError(`fill: ${value} is not a 32-bit integer`);
  }
  const folded = foldDimensions(result.shape, [result.strides]);
  const width = isDense(result.shape, result.strides) ? vectorWidth([result]) : 1;
  const vectors = elementCount(result.shape) / width;
  const { lanes, span } = streamSpan(vectors, traits);
  return {
    kernel: 'fill',
    file: 'fill.wgsl',
    defines: {
      RESULT: vectorType(result.dtype, width),
      VALUE: vectorType(floats ? 'f32' : 'u32', width),
      WIDTH: width,
      RANK: folded.sizes.length,
      WORKGROUP: lanes,
    },
    features: storageFeatures([result]),
    access: ['write'],
    params: {
      vectors: u32(vectors),
      span: u32(span),
      // Conversion from u32 to i32 keeps the bits.
      value: floats ? f32(value) : u32(result.dtype === 'i32' ? value >>> 0 : value),
      resultOffset: u32(result.offset / width),
      ...dimensionParameters(folded, ['result']),
    },
    workgroups: spreadWorkgroups(Math.ceil(vectors / span), traits),
  };
}
