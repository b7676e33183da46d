/** What a user settles about a model, and of which models it can be settled. */
import { checkChoice, checkFlag, checkWhole, kindOf } from './arguments.js';
import { resolveCharset } from './charset.js';
import { type ModelConfiguration, readingLimits } from './configuration.js';
import { normalizations } from './image.js';
import { namedAdapterType } from './infer_adapter.js';
import type { ConfigurationOverrides, ConfigurationSource } from './infer_configuration.js';

type Override = keyof ConfigurationOverrides;

const ofReaders = [
  'preset',
  'imageSize',
  'decoderHeads',
  'charset',
  'testCharset',
  'decodeAutoregressive',
  'refineIterations',
  'normalization',
] as const satisfies readonly Override[];

const ofFamilies: Readonly<Record<ModelConfiguration['family'], readonly Override[]>> = {
  clip4str: [...ofReaders, 'contextLength', 'useShareDim', 'clipClsEotFeature'],
  parseq: [...ofReaders, 'encoderHeads'],
  str_adapter: ofReaders,
  clip: ['imageSize', 'contextLength'],
};

/**
 * Makes sure that each override that is given settles something of the source's model: it would be lost unseen.
 * @param shownNames under which messages name the overrides, where they are not their own
 * @throws Error in one line
 */
export function checkApplicable(
  source: Pick<ConfigurationSource, 'name' | 'family' | 'parameters'>,
  overrides: ConfigurationOverrides,
  shownNames: Readonly<Partial<Record<Override, string>>> = {},
): void {
  const needless = inapplicableOverrides(source, overrides).map((name) => shownNames[name] ?? name);
  if (needless.length === 0) return;
  const [settle, them] = needless.length === 1 ? ['settles', 'it'] : ['settle', 'them'];
  throw new Error(
    `${source.name}: is a ${source.family} model, of which ${needless.join(', ')} ${settle} nothing; leave ${them} out.`,
  );
}

function inapplicableOverrides(
  source: Pick<ConfigurationSource, 'family' | 'parameters'>,
  overrides: ConfigurationOverrides,
): Override[] {
  const known = ofFamilies[source.family];
  const all: readonly Override[] = [
    ...ofReaders,
    'encoderHeads',
    'ladderBlocks',
    'contextLength',
    'useShareDim',
    'clipClsEotFeature',
  ];
  return all.filter((name) => {
    if (overrides[name] === undefined) return false;
    return name === 'ladderBlocks' ? !hasLadder(source) : !known.includes(name);
  });
}

function hasLadder({ family, parameters }: Pick<ConfigurationSource, 'family' | 'parameters'>): boolean {
  const names = [...parameters.keys()];
  const type = namedAdapterType((start) => names.some((name) => name.startsWith(start)));
  return family === 'str_adapter' && (type === 'ladder' || type === 'linear_ladder');
}

/** @throws Error in one line for a value that no model can have, or that settles nothing of the source's */
export function checkOverrides(source: ConfigurationSource, overrides: ConfigurationOverrides): void {
  checkChoice('normalization', overrides.normalization, normalizations);
  checkWhole('refineIterations', overrides.refineIterations, 0, readingLimits.refineIterations);
  for (const name of ['encoderHeads', 'decoderHeads', 'contextLength'] as const) {
    checkWhole(name, overrides[name], 1);
  }
  for (const name of ['decodeAutoregressive', 'useShareDim', 'clipClsEotFeature'] as const) {
    checkFlag(name, overrides[name]);
  }
  for (const name of ['charset', 'testCharset'] as const) {
    if (overrides[name] !== undefined) resolveCharset(overrides[name]);
  }
  const { imageSize, ladderBlocks } = overrides;
  checkNumbers('imageSize', imageSize, 1, '[height, width] in pixels');
  if (imageSize !== undefined && imageSize.length !== 2) {
    throw new Error(`imageSize has ${imageSize.length} numbers; expected [height, width] in pixels.`);
  }
  checkNumbers('ladderBlocks', ladderBlocks, 0, 'numbers of blocks, as [0, 4, 8, 11]');
  checkApplicable(source, overrides);
}

function checkNumbers(
  name: string,
  numbers: readonly number[] | undefined,
  least: number,
  expected: string,
): void {
  if (numbers === undefined) return;
  if (!Array.isArray(numbers)) throw new Error(`${name} is ${kindOf(numbers)}; expected ${expected}.`);
  numbers.forEach((value: number, index) => checkWhole(`${name}[${index}]`, value, least));
}
