/**
 * The checkpoints of a run. Each is two files: `step-<n>.safetensors`, a model that every reader loads, and
 * `step-<n>.state.safetensors`, what the run needs beside it to go on. The second is written when the first is whole, and
 * removed before it, so where there is a state there is its model.
 */
import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Device, Tensor } from '../engine/index.js';
import { CheckpointError, type WritableTensor, openCheckpoint, writeSafetensors } from '../weights/index.js';
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

const statePattern = /^step-(\d{8,})\.state\.safetensors$/;
/** What a process that was killed may have left half written. */
const unfinishedPattern = /^(?:step-\d+(?:\.state)?|best|averaged)\.safetensors\.\d+\.tmp$/;

export class Checkpoints {
  private constructor(readonly folder: string) {}

  /** @throws Error where the folder cannot be made or read */
  static async open(folder: string): Promise<Checkpoints> {
    await mkdir(folder, { recursive: true });
    for (const name of await readdir(folder)) {
      if (unfinishedPattern.test(name)) await rm(join(folder, name), { force: true });
    }
    return new Checkpoints(folder);
  }

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
   * Writes a checkpoint, then removes the oldest ones beyond `kept`.
   * @returns path of the model
   * @throws CheckpointError that says what to do; earlier checkpoints stay as they are
   */
  async save({ model, hyperParameters, stateTensors, state }: RunSnapshot, kept: number): Promise<string> {
    const { modelPath, statePath } = this.paths(String(state.step).padStart(8, '0'));
    await written(modelPath, model, hyperParameters);
    await written(statePath, stateTensors, runStateMetadata(state));
    const steps = await this.steps();
    for (const old of steps.slice(0, Math.max(0, steps.length - kept))) {
      await rm(old.statePath, { force: true });
      await rm(old.modelPath, { force: true });
    }
    return modelPath;
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
    return { modelPath: `${start}.safetensors`, statePath: `${start}.state.safetensors` };
  }
}

/** @throws Error if the file holds no state of a run */
export async function readRunState(path: string): Promise<RunState> {
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
    for (const [name, tensor] of tensors) {
      const shape = checkpoint.tensors.get(name)?.shape;
      if (shape?.join() !== tensor.shape.join()) {
        throw new CheckpointError(
          checkpoint.name,
          `has ${shape ? `${name} as [${shape.join(',')}]` : `no ${name}`}; this run needs [${tensor.shape.join(',')}]. ` +
            'Its options are not those of the run that is to go on',
        );
      }
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
  await writeSafetensors(path, writable, metadata);
}
