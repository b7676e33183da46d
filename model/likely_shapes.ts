/** What is wrong with a file whose configuration cannot be inferred: a tensor that tells a size is missing or another size. */
import { type ParameterDifferences, parameterDifferences } from '../weights/index.js';
import type { ModelConfiguration } from './configuration.js';
import { configurationOfLayers } from './layered_configuration.js';
import { expectedParameters } from './expected_parameters.js';
import type { FamilyParameters } from './parameter_shapes.js';

type Shapes = ReadonlyMap<string, readonly number[]>;

/** Settings that shapes follow from, wherever in a configuration they stand. */
const sizeNames: readonly string[] = [
  'width',
  'mlpWidth',
  'embedWidth',
  'vocabulary',
  'positions',
  'maxLabelLength',
  'classes',
  'hiddenWidth',
  'attentionWidth',
];

/** One size of a configuration, as `visualDecoder.width`. */
interface Dimension {
  readonly value: number;
  with(configuration: ModelConfiguration, value: number): ModelConfiguration;
}

/**
 * How a file differs from the model that most of its tensors agree on: each size is the one that most of those say whose
 * shapes follow from it. Shapes that follow from a size that no tensor tells are not judged.
 */
export function likelyDifferences(source: FamilyParameters): ParameterDifferences {
  const start = configurationOfLayers(source);
  const shapes = expectedParameters(start);
  let likely = start;
  const untold = new Set<string>();
  for (const dimension of dimensionsOf(start)) {
    const larger = expectedParameters(dimension.with(start, dimension.value + 1));
    const value = mostVoted(dimension.value, shapes, larger, source);
    if (value !== undefined) likely = dimension.with(likely, value);
    else for (const name of changed(shapes, larger)) untold.add(name);
  }
  const differences = parameterDifferences(source, expectedParameters(likely));
  return { ...differences, misshaped: differences.misshaped.filter(({ name }) => !untold.has(name)) };
}

/**
 * The value of a dimension that most tensors say; the first in the model's order where two are said as often.
 * @param shapes where the dimension is `base`
 * @param larger where it is one more: every size of a shape grows by a fixed number for each one more
 */
function mostVoted(
  base: number,
  shapes: Shapes,
  larger: Shapes,
  { parameters }: FamilyParameters,
): number | undefined {
  const votes = new Map<number, number>();
  for (const [name, shape] of shapes) {
    const { shape: found, misfit } = parameters.get(name) ?? {};
    if (misfit !== undefined || found?.length !== shape.length) continue;
    for (const [axis, size] of shape.entries()) {
      const step = larger.get(name)![axis]! - size;
      const value = base + (found[axis]! - size) / step;
      if (step > 0 && Number.isInteger(value) && value > 0) votes.set(value, (votes.get(value) ?? 0) + 1);
    }
  }
  const most = Math.max(...votes.values());
  return [...votes].find(([, count]) => count === most)?.[0];
}

function changed(shapes: Shapes, larger: Shapes): string[] {
  return [...shapes].flatMap(([name, shape]) => (larger.get(name)!.join() === shape.join() ? [] : [name]));
}

function dimensionsOf(configuration: ModelConfiguration): Dimension[] {
  const sizes = Object.entries(configuration).flatMap(([name, value]: [string, unknown]): Dimension[] => {
    if (typeof value === 'number' && sizeNames.includes(name)) return [dimension([name], value)];
    if (typeof value !== 'object' || value === null) return [];
    return Object.entries(value).flatMap(([own, size]: [string, unknown]) =>
      typeof size === 'number' && sizeNames.includes(own) ? [dimension([name, own], size)] : [],
    );
  });
  return [...sizes, ...patchDimensions(configuration)];
}

function dimension([name, own]: readonly string[], value: number): Dimension {
  return {
    value,
    with(configuration, size) {
      const part = configuration[name as 'image'];
      const changedPart = own === undefined ? size : { ...part, [own]: size };
      return { ...configuration, [name!]: changedPart };
    },
  };
}

/** Sides of a patch, and the number of patches, which the image is one column of. */
function patchDimensions({ image: { imageSize, patchSize } }: ModelConfiguration): Dimension[] {
  const [height, width] = patchSize;
  const patches = (imageSize[0] / height) * (imageSize[1] / width);
  const ofPatches = (
    configuration: ModelConfiguration,
    [rows, columns]: readonly [number, number],
    count: number,
  ): ModelConfiguration => {
    const image = {
      ...configuration.image,
      patchSize: [rows, columns] as const,
      imageSize: [rows * count, columns] as const,
    };
    return { ...configuration, image };
  };
  const countIn = ({ image: { imageSize: size, patchSize: patch } }: ModelConfiguration): number =>
    (size[0] / patch[0]) * (size[1] / patch[1]);
  return [
    { value: height, with: (one, size) => ofPatches(one, [size, one.image.patchSize[1]], countIn(one)) },
    { value: width, with: (one, size) => ofPatches(one, [one.image.patchSize[0], size], countIn(one)) },
    { value: patches, with: (one, count) => ofPatches(one, one.image.patchSize, count) },
  ];
}
