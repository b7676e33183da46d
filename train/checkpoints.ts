/**
 * The checkpoints of a run. Each is two files: `step-<n>.safetensors`, a model that every reader loads, and
 * `step-<n>.state.safetensors`, what the run needs beside it to go on. The second is written when the first is whole, and
 * removed before it, so where there is a state there is its model.
 */
import { readdir, rename, rm, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Device, Tensor } from '../engine/index.js';
import {
  CheckpointError,
  type WritableTensor,
  openCheckpoint,
  requireParameters,
  runStateEnding,
  writeSafetensors,
} from '../weights/index.js';
import { type RunState, parseRunState, runStateMetadata } from './run_state.js';

export interface StoredStep {
  readonly step: number;
  readonly modelPath: string;
  readonly statePath: string;
}

/** Named tensors of a run with what belongs to them. */
export interface RunSnapshot {
  readonly model: ReadonlyMap<string, Tensor>;
  /** Hyper-parameters that reading needs. */
  readonly hyperParameters: Readonly<Record<string, string>>;
  readonly stateTensors: ReadonlyMap<string, Tensor>;
  readonly state: RunState;
}

/** A step whose files are whole. */
export interface SoundStep extends StoredStep {
  readonly state: RunState;
}

const statePattern = /^step-(\d{8,})\.state\.safetensors$/;

export class Checkpoints {
  constructor(readonly folder: string) {}

  /** The steps that a run can go on from, the last one last. */
  async steps(): Promise<StoredStep[]> {
    const names = new Set(await readdir(this.folder));
    return [...names]
      .flatMap((name): StoredStep[] => {
        const digits = statePattern.exec(name)?.[1];
        if (digits === undefined || !names.has(`step-${digits}.safetensors`)) return [];
        return [{ step: Number(digits), ...this.paths(digits) }];
      })
      .sort((a, b) => a.step - b.step);
  }

  /**
   * The last step whose files are whole, if there is any step. Damaged ones after it are renamed, not removed, so that
   * the run can write those steps again.
   * @param onDamaged told of each in a sentence or two
   * @throws CheckpointError if all are damaged, or one cannot be read for another reason
   */
  async lastSound(onDamaged: (notice: string) => void): Promise<SoundStep | undefined> {
    const damaged: { readonly step: StoredStep; readonly error: CheckpointError }[] = [];
    for (const step of (await this.steps()).reverse()) {
      try {
        const sound = { ...step, state: await stateOf(step) };
        for (const { step: bad, error } of damaged) {
          const aside = await setAside(bad);
          onDamaged(`${error.message}; kept as ${aside}. Going on from step ${step.step}.`);
        }
        return sound;
      } catch (error) {
        if (!isDamage(error)) throw error;
        damaged.push({ step, error });
      }
    }
    const [newest] = damaged;
    if (newest === undefined) return undefined;
    const others = damaged.length === 1 ? 'there is no other checkpoint' : 'so are the checkpoints before it';
    throw new CheckpointError(
      newest.error.fileName,
      `${newest.error.problem}: it is damaged, and ${others} in ${this.folder}. Put copies of the files back, or move all ` +
        'step-* files away to begin anew',
    );
  }

  /**
   * Writes a checkpoint, then removes the oldest ones beyond `kept`, 1 or more.
   * @returns path of the model
   * @throws CheckpointError that says what to do; earlier checkpoints stay as they are
   */
  async save({ model, hyperParameters, stateTensors, state }: RunSnapshot, kept: number): Promise<string> {
    const { modelPath, statePath } = this.paths(String(state.step).padStart(8, '0'));
    await written(modelPath, model, hyperParameters);
    await written(statePath, stateTensors, runStateMetadata(state));
    for (const old of (await this.steps()).slice(0, -kept)) {
      await rm(old.statePath, { force: true });
      await rm(old.modelPath, { force: true });
    }
    return modelPath;
  }

  /**
   * Renames the models beside the checkpoints of an earlier run, of which a new one knows nothing.
   * @returns the new names
   */
  async setModelsAside(): Promise<string[]> {
    const renamed: string[] = [];
    for (const name of ['best', 'averaged']) {
      const path = join(this.folder, `${name}.safetensors`);
      if (!(await exists(path))) continue;
      let n = 1;
      while (await exists(join(this.folder, `${name}.earlier-${n}.safetensors`))) n++;
      renamed.push(`${name}.earlier-${n}.safetensors`);
      await rename(path, join(this.folder, renamed.at(-1)!));
    }
    return renamed;
  }

  /** Writes a model beside the checkpoints: the best one, or an average. */
  async saveModel(
    name: 'best' | 'averaged',
    model: ReadonlyMap<string, Tensor>,
    hyperParameters: Readonly<Record<string, string>>,
  ): Promise<string> {
    const path = join(this.folder, `${name}.safetensors`);
    await written(path, model, hyperParameters);
    return path;
  }

  private paths(digits: string): Pick<StoredStep, 'modelPath' | 'statePath'> {
    const start = join(this.folder, `step-${digits}`);
    return { modelPath: `${start}.safetensors`, statePath: `${start}${runStateEnding}` };
  }
}

/**
 * Whether an error tells of a file's content, rather than of access to it, which another try may be granted.
 */
function isDamage(error: unknown): error is CheckpointError {
  if (!(error instanceof CheckpointError)) return false;
  const code = systemCode(error);
  return code === undefined || code === 'EIO';
}

/** Of the system's error that it came from, if there is one. */
function systemCode({ cause }: CheckpointError): string | undefined {
  return (cause as NodeJS.ErrnoException | undefined)?.code;
}

/** @throws CheckpointError if one of the files of a step is damaged */
async function stateOf({ modelPath, statePath }: StoredStep): Promise<RunState> {
  const state = await readRunState(statePath);
  await (await openCheckpoint(modelPath)).close();
  return state;
}

/** @returns the new names */
async function setAside({ statePath, modelPath }: StoredStep): Promise<string> {
  let ending = '.damaged';
  for (let n = 2; (await exists(statePath + ending)) || (await exists(modelPath + ending)); n++) {
    ending = `.damaged-${n}`;
  }
  // In this order: without its state a model is no checkpoint.
  for (const path of [statePath, modelPath]) await rename(path, path + ending);
  return `${basename(modelPath)}${ending} and ${basename(statePath)}${ending}`;
}

async function exists(path: string): Promise<boolean> {
  return (await stat(path).catch(() => undefined)) !== undefined;
}

/** @throws CheckpointError if the file holds no state of a run */
async function readRunState(path: string): Promise<RunState> {
  const checkpoint = await openCheckpoint(path);
  try {
    return parseRunState(checkpoint.configuration, checkpoint.name);
  } finally {
    await checkpoint.close();
  }
}

/**
 * Fills tensors with those of the same names in a state's file.
 * @throws CheckpointError if one is missing or has another shape
 */
export async function restoreTensors(
  device: Device,
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
): Promise<void> {
  const checkpoint = await openCheckpoint(path);
  try {
    requireParameters(
      { name: checkpoint.name, parameters: checkpoint.tensors },
      new Map([...tensors].map(([name, { shape }]) => [name, shape])),
      'The options of this run are not those of the one that is to go on',
    );
    for (const [name, tensor] of tensors) {
      device.write(tensor, (await checkpoint.readF32(name)) as Float32Array<ArrayBuffer>);
      await device.finish();
    }
  } finally {
    await checkpoint.close();
  }
}

async function written(
  path: string,
  tensors: ReadonlyMap<string, Tensor>,
  metadata: Readonly<Record<string, string>>,
): Promise<void> {
  const writable = [...tensors].map(([name, tensor]): WritableTensor => ({
    name,
    shape: tensor.shape,
    dtype: 'f32',
    read: async () => (await tensor.read()) as Float32Array,
  }));
  try {
    await writeSafetensors(path, writable, metadata);
  } catch (error) {
    if (!(error instanceof CheckpointError) || systemCode(error) !== 'ENOSPC') throw error;
    const problem = `${error.problem}. Make room in ${dirname(path)} and resume the run; earlier checkpoints are as they were`;
    throw new CheckpointError(error.fileName, problem, { cause: error.cause });
  }
}
