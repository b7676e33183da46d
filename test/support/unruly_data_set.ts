import type { DataSet, DataSource, Sample } from '../../train/data/data_source.js';

/** How a data set for tests behaves. */
export interface UnrulyBehaviour {
  readonly samples: readonly Sample[];
  /** What goes wrong at the sample, or on opening. */
  readonly fault?: 'exit' | 'uncaught' | 'throw' | 'open' | 'hang';
  readonly faultyIndex?: number;
  /** Nothing can be read any more once there is a number other than 0. */
  readonly gone?: Int32Array<SharedArrayBuffer>;
  /** How long each sample takes. */
  readonly delayMs?: number;
  /** `[samples asked for, data sets closed]`, counted by all threads. */
  readonly counters?: Int32Array<SharedArrayBuffer>;
}

export function unrulySource(behaviour: UnrulyBehaviour): DataSource {
  return { module: import.meta.url, argument: behaviour };
}

export function openDataSet(behaviour: UnrulyBehaviour): DataSet {
  const { samples, fault, faultyIndex, gone, delayMs = 0, counters } = behaviour;
  if (fault === 'open') throw new Error('words.mdb: no such file.');
  return {
    length: samples.length,
    source: (index) => samples[index]!.source,
    sample: async (index) => {
      if (counters !== undefined) Atomics.add(counters, 0, 1);
      if (delayMs > 0) await new Promise((resolve) => setTimeout(resolve, delayMs));
      if (gone?.some((value) => value !== 0)) throwFault('the disk is gone');
      if (index === faultyIndex) await misbehave(fault, samples[index]!);
      return samples[index]!;
    },
    close: () => {
      if (counters !== undefined) Atomics.add(counters, 1, 1);
    },
  };
}

async function misbehave(fault: UnrulyBehaviour['fault'], { source }: Sample): Promise<void> {
  if (fault === 'exit') process.exit(3);
  if (fault === 'uncaught') setTimeout(() => throwFault('memory is out'), 0);
  if (fault === 'throw') throwFault(`${source}: the page is damaged`);
  await new Promise((resolve) => setTimeout(resolve, 600_000));
}

function throwFault(message: string): never {
  throw new Error(message);
}
