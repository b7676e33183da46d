/** What the shapes of a checkpoint tell of the parts that models share. */
import {
  type DecoderConfiguration,
  type ImageEncoderConfiguration,
  type ImageSize,
  type TextEncoderConfiguration,
  readingLimits,
} from './configuration.js';
import type { ParameterShapes } from './parameter_shapes.js';
import { clipHeadWidth } from './presets.js';

/** @param contextLength all positions if not given. */
export function clipTowers(
  shapes: ParameterShapes,
  requestedSize: ImageSize | undefined,
  contextLength: number | undefined,
): { image: ImageEncoderConfiguration; text: TextEncoderConfiguration; embedWidth: number } {
  const visual = shapes.under('visual.');
  const { width, patchSize } = visual.patchConvolution('conv1.weight');
  const [rows] = visual.matrix('positional_embedding');
  const [positions, textWidth] = shapes.matrix('positional_embedding');
  if (contextLength !== undefined && contextLength > positions) {
    shapes.fail(
      `a context length of ${contextLength} exceeds the ${positions} positions of the text encoder.`,
    );
  }
  return {
    image: {
      kind: 'clip',
      // The first row belongs to the class token.
      imageSize: imageSizeOf(
        visual,
        'positional_embedding',
        'conv1.weight',
        requestedSize,
        patchSize,
        rows - 1,
      ),
      patchSize,
      width,
      layers: visual.layers('transformer.resblocks'),
      heads: checkedHeads(visual, width, Math.floor(width / clipHeadWidth)),
      mlpWidth: visual.matrix('transformer.resblocks.0.mlp.c_fc.weight')[0],
      activation: 'quick_gelu',
      layerNormEpsilon: 1e-5,
    },
    text: {
      vocabulary: shapes.matrix('token_embedding.weight')[0],
      contextLength: contextLength ?? positions,
      positions,
      width: textWidth,
      layers: shapes.layers('transformer.resblocks'),
      heads: checkedHeads(shapes, textWidth, Math.floor(textWidth / clipHeadWidth)),
      mlpWidth: shapes.matrix('transformer.resblocks.0.mlp.c_fc.weight')[0],
    },
    embedWidth: visual.matrix('proj')[1],
  };
}

/**
 * @param owner where embeddings and head are; PARSeq keeps them beside the layers, CLIP4STR with them
 * @param labelLength that the file records
 */
export function decoderOf(
  owner: ParameterShapes,
  layers: ParameterShapes,
  heads: number | undefined,
  labelLength: number | undefined,
): DecoderConfiguration {
  const [positions, width] = owner.batchedMatrix('pos_queries');
  if (labelLength !== undefined && positions !== labelLength + 1) {
    owner.fail(
      `${owner.fullName('pos_queries')} is [1,${positions},${width}]; for texts of ${labelLength} characters, which the ` +
        `file records as max_label_length, expected [1,${labelLength + 1},${width}]. Download or convert it again.`,
    );
  }
  if (positions - 1 > readingLimits.labelLength) {
    owner.fail(
      `${owner.fullName('pos_queries')} is for texts of ${positions - 1} characters; at most ${readingLimits.labelLength} are read.`,
    );
  }
  const [classes] = owner.matrix('head.weight');
  return {
    width,
    layers: layers.layers('layers'),
    heads: checkedHeads(layers, width, heads ?? untold(layers, 'dec_num_heads')),
    mlpWidth: layers.matrix('layers.0.linear1.weight')[0],
    maxLabelLength: positions - 1,
    classes,
  };
}

/**
 * The image size asked for if its patches fill the table of positions, or the square that does.
 * @param table name of the table of positions
 * @param convolution name of the weights that tell the size of a patch
 */
export function imageSizeOf(
  shapes: ParameterShapes,
  table: string,
  convolution: string,
  requested: ImageSize | undefined,
  [patchHeight, patchWidth]: ImageSize,
  patches: number,
): ImageSize {
  const where = shapes.fullName(table);
  const patch = `${patchHeight}x${patchWidth}`;
  const bounded = (size: ImageSize): ImageSize => {
    if (Math.max(...size) <= readingLimits.imageSide) return size;
    return shapes.fail(
      `its images are ${size.join('x')} pixels; at most ${readingLimits.imageSide}x${readingLimits.imageSide} are read.`,
    );
  };
  if (requested !== undefined) {
    const [height, width] = requested;
    if (
      (height / patchHeight) * (width / patchWidth) !== patches ||
      height % patchHeight ||
      width % patchWidth
    ) {
      shapes.fail(
        `images of ${height}x${width} in patches of ${patch} do not fill ${where}, which is for ${patches} patches. ` +
          `The size of a patch is that of ${shapes.fullName(convolution)}.`,
      );
    }
    return bounded(requested);
  }
  const side = Math.round(Math.sqrt(patches));
  if (side === 0 || side * side !== patches) {
    shapes.fail(
      `${where} is for ${patches} patches, which form no square, and the file records no img_size.`,
    );
  }
  return bounded([side * patchHeight, side * patchWidth]);
}

export function checkedHeads(shapes: ParameterShapes, width: number, heads: number): number {
  if (heads < 1 || width % heads !== 0) {
    const part = shapes.fullName('').replace(/\.$/, '') || 'the model';
    shapes.fail(`${part} is ${width} wide, which ${heads} attention heads do not divide.`);
  }
  return heads;
}

/** What tells a setting when a file is converted. */
const convertOptions: Readonly<Record<string, string>> = {
  charset_train: '--charset',
  dec_num_heads: '--decoder-heads',
  enc_num_heads: '--encoder-heads',
  block_ids: '--block-ids',
};

/** @throws Error always: that settings are told nowhere, and how to tell them. */
export function untold(shapes: ParameterShapes, ...keys: readonly string[]): never {
  const them = keys.length === 1 ? 'it' : 'them';
  const options = keys.map((key) => `${convertOptions[key]} ...`).join(' ');
  return shapes.fail(
    `its shapes do not tell ${keys.join(' and ')}, no hyper-parameter records ${them}, and they match no preset. ` +
      `Set ${them} once for all with: clip4str-engine convert <in> <out> ${options}`,
  );
}
