/** Which variants of kernels are the fastest on a device, as measured there. */
import type { VariantChoices } from '../kernels/index.js';
import { EngineError } from './errors.js';

/** What `bench --kernels --tune` found; {@link Device.tune} takes it. */
export interface Tuning {
  readonly kind: 'tuning';
  /** Name of the adapter, and what it tells of its driver: elsewhere other variants are the fastest. */
  readonly adapter: string;
  readonly driver: string;
  /** Names of the fastest variants by kind of work. Names that are not known any more are passed over. */
  readonly choices: Readonly<Record<string, string>>;
}

/** What tells devices apart. */
interface TunedDevice {
  readonly adapter: { readonly name: string };
  readonly info: { readonly description: string };
}

/**
 * Reads a stored tuning.
 * @throws EngineError for text that is none
 */
export function parseTuning(text: string): Tuning {
  let stored: unknown;
  try {
    stored = JSON.parse(text);
  } catch (error) {
    throw new EngineError(`tuning: ${error instanceof Error ? error.message : String(error)}`);
  }
  if (!isTuning(stored)) {
    throw new EngineError('tuning: expected what bench --kernels --tune writes: adapter, driver, choices.');
  }
  return stored;
}

function isTuning(stored: unknown): stored is Tuning {
  if (typeof stored !== 'object' || stored === null) return false;
  const { kind, adapter, driver, choices } = stored as Partial<Record<keyof Tuning, unknown>>;
  const named = kind === 'tuning' && typeof adapter === 'string' && typeof driver === 'string';
  return (
    named &&
    typeof choices === 'object' &&
    choices !== null &&
    Object.values(choices).every((name) => typeof name === 'string')
  );
}

/** @throws EngineError for what was measured on another device than this */
export function choicesFor(tuning: Tuning, device: TunedDevice): VariantChoices {
  const here = { adapter: device.adapter.name, driver: device.info.description };
  for (const part of ['adapter', 'driver'] as const) {
    if (tuning[part] === here[part]) continue;
    throw new EngineError(
      `tuning: measured with the ${part} ${tuning[part]}; this one is ${here[part]}. ` +
        'Tune here with bench --kernels --tune.',
    );
  }
  return new Map(Object.entries(tuning.choices));
}
