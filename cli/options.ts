/** Options that several commands share, and the parsing of their values. */
import { InvalidArgumentError, Option } from 'commander';
import { type FoundAdapter, findAdapter } from '../engine/adapters.js';
import { type AdapterTraits, type Device, type DeviceOptions, openDevice } from '../engine/index.js';
import { type Precision, precisions, presetNames } from '../model/index.js';
import { UsageError } from './errors.js';
import { storedTuning } from './tuning.js';

/** Parses a whole number within bounds. */
export function wholeNumber(least: number, most: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || value < least || value > most) {
      throw new InvalidArgumentError(`Expected a whole number from ${least} to ${most}.`);
    }
    return value;
  };
}

export const deviceOption = (): Option =>
  new Option(
    '--device <index|name|software>',
    'adapter to compute on, as doctor lists them; part of its name will do',
  ).argParser((text: string) => {
    // Any name has an empty part.
    if (text.trim() === '') throw new InvalidArgumentError('Expected an index, a name or software.');
    return text;
  });

export const presetOption = (): Option =>
  new Option('--preset <name>', 'published model that tells what a bare checkpoint does not').choices(
    presetNames,
  );

/** Of the commands that read. */
export const precisionOption = (): Option =>
  new Option(
    '--precision <type>',
    'how weights are stored on the device; int8 takes the least memory and changes confidences most',
  )
    .choices(precisions)
    .default('f32');

/** The device that is wanted, quiet unless `CLIP4STR_VERBOSE` is set. */
export function deviceOptions(wanted: string | undefined): DeviceOptions {
  return {
    hideDriverWarnings: !process.env['CLIP4STR_VERBOSE'],
    ...(wanted === undefined ? {} : { device: wanted }),
  };
}

type UnitUse = NonNullable<DeviceOptions['matrixUnitUse']>;

/**
 * What units for matrices need be tried for.
 * @param precision of all the work; undefined for several
 */
export function unitUse(precision: Precision | undefined, work: 'forward' | 'all'): UnitUse {
  if (precision === 'f32') return 'nothing';
  // Nothing is trained in int8.
  return precision === 'int8' ? 'forward' : work;
}

/** Opens the device that is wanted, with the variants of kernels that were measured to be the fastest there. */
export async function openTunedDevice(wanted: string | undefined, matrixUnitUse: UnitUse): Promise<Device> {
  const device = await openDevice({ ...deviceOptions(wanted), matrixUnitUse });
  const tuning = await storedTuning(device);
  if (tuning) device.tune(tuning);
  performance.mark('device opened');
  return device;
}

/** Runs `work` with a device of {@link openTunedDevice} that is closed afterwards, so that the process ends. */
export async function withDevice<T>(
  wanted: string | undefined,
  matrixUnitUse: UnitUse,
  work: (device: Device) => Promise<T>,
): Promise<T> {
  const device = await openTunedDevice(wanted, matrixUnitUse);
  try {
    return await work(device);
  } finally {
    device.close();
  }
}

/** @throws UsageError when the adapter cannot store f16 */
export function requirePrecision(
  device: Pick<Device, 'adapter'> & { readonly traits: Pick<AdapterTraits, 'f16'> },
  precision: Precision,
): void {
  if (precision === 'f16' && !device.traits.f16) {
    throw new UsageError(`--precision f16: ${device.adapter.name} has no f16 (feature shader-f16). Use f32.`);
  }
}

/** Kept, since Dawn crashes when an instance is collected before an adapter of it. */
const foundAdapters: FoundAdapter[] = [];

/**
 * Checks what a device will need before one is opened, which may compile shaders.
 * @throws AdapterError where no adapter fits what is wanted; UsageError when it cannot store f16
 */
export async function requireAdapter(wanted: string | undefined, precision: Precision): Promise<void> {
  const found = await findAdapter(wanted, deviceOptions(wanted));
  foundAdapters.push(found);
  const traits = { f16: found.adapter.features.has('shader-f16') };
  requirePrecision({ adapter: found.summary, traits }, precision);
}

/** Parses `32x128` as `[height, width]`. */
export function imageSize(text: string): readonly [number, number] {
  const match = /^(\d{1,5})x(\d{1,5})$/.exec(text);
  const size = [Number(match?.[1]), Number(match?.[2])] as const;
  if (!size.every((side) => side >= 1))
    throw new InvalidArgumentError('Expected <height>x<width>, as 32x128.');
  return size;
}

/** Parses the path of a page to write. Only what has this ending is written over: no image and no list has it. */
export function htmlFile(path: string): string {
  if (!/\.html?$/i.test(path)) throw new InvalidArgumentError('Expected a file that ends in .html.');
  return path;
}

/** Parses `0,4,8,11`. */
export function blockNumbers(text: string): readonly number[] {
  if (!/^\d{1,4}(,\d{1,4})*$/.test(text)) {
    throw new InvalidArgumentError('Expected block numbers with commas, as 0,4,8,11.');
  }
  return text.split(',').map(Number);
}
