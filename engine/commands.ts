/**
 * Records dispatches into one compute pass until somebody needs a result or 64 are there, then submits them together.
 */
import { type Launch, writeParameters } from '../kernels/index.js';
import type { PooledBuffer } from './memory.js';
import type { Binding, Program, ProgramCache } from './programs.js';
import type { HostData } from './tensor.js';
import { UniformBlocks } from './uniform_blocks.js';

/** What was sent to the GPU since the device was opened or the counters were reset. */
export interface CommandCounts {
  dispatches: number;
  submits: number;
  readBacks: number;
  /** Read-backs that are looked at while later work runs. */
  peeks: number;
  uploads: number;
  /** Floating-point operations, as the operations' rows count them. */
  flops: number;
}

const noCounts = (): CommandCounts => ({
  dispatches: 0,
  submits: 0,
  readBacks: 0,
  peeks: 0,
  uploads: 0,
  flops: 0,
});

/** A byte range and where it is copied to. */
interface MappableCopy {
  readonly from: Binding;
  readonly into: GPUBuffer;
  /** Byte in `into`. */
  readonly at: number;
}

/** A dispatch, ready to be encoded. */
interface Command {
  readonly program: Program;
  readonly group: GPUBindGroup;
  readonly workgroups: readonly [number, number, number];
}

/** A dispatch that is kept, with its uniform block. */
interface KeptCommand extends Command {
  readonly parameters: Uint8Array;
}

/** Commands in order, to be encoded again and again. */
export interface CommandList {
  readonly commands: KeptCommand[];
  readonly used: Set<PooledBuffer>;
  readonly written: Set<PooledBuffer>;
  flops: number;
  /** Names its last work, for the message of a lost device. */
  lastWork: (() => string) | undefined;
}

export function emptyCommandList(): CommandList {
  return {
    commands: [],
    used: new Set(),
    written: new Set(),
    flops: 0,
    lastWork: undefined,
  };
}

/** Dispatches of a submit, at most: the GPU works on these while the host records the next. */
const dispatchesPerSubmit = 64;

export class CommandQueue {
  readonly counts: CommandCounts = noCounts();
  private readonly parameters: UniformBlocks;
  private recorded = 0;
  private batch = 1;
  private encoder: GPUCommandEncoder | undefined;
  private pass: GPUComputePassEncoder | undefined;
  /** What passes begin with while their time is taken. */
  private passDescriptor: GPUComputePassDescriptor | undefined;

  constructor(
    private readonly gpu: GPUDevice,
    private readonly programs: ProgramCache,
  ) {
    this.parameters = new UniformBlocks(gpu, programs.parameterLayout);
  }

  /**
   * Records one dispatch. `bindings` follow the launch's `access`; `label` names the work in WebGPU's messages.
   * @param list takes the dispatch down as well
   */
  dispatch(launch: Launch, bindings: readonly Binding[], label: () => string, list?: CommandList): void {
    const program = this.programs.program(launch, label);
    const offset = this.takeParameters(program.parameterBytes);
    writeParameters(launch, this.parameters.staging, offset);
    const group = this.programs.bindGroup(program, bindings, label);
    const command = { program, group, workgroups: launch.workgroups };
    this.encode(command, offset);
    for (const { buffer } of bindings) buffer.lastBatch = this.batch;
    launch.access.forEach((access, i) => {
      if (access !== 'read') bindings[i]!.buffer.version++;
    });
    if (!list) return;
    const parameters = this.parameters.copy(offset, program.parameterBytes);
    list.commands.push({ ...command, parameters });
    bindings.forEach(({ buffer }, i) => {
      list.used.add(buffer);
      if (launch.access[i] !== 'read') list.written.add(buffer);
    });
  }

  /** Records the commands of a list once more. */
  repeat(list: CommandList): void {
    for (const command of list.commands) {
      const offset = this.takeParameters(command.parameters.length);
      this.parameters.fill(offset, command.parameters);
      this.encode(command, offset);
    }
    for (const buffer of list.used) buffer.lastBatch = this.batch;
    for (const buffer of list.written) buffer.version++;
    this.counts.flops += list.flops;
  }

  /**
   * Writes host values into a buffer, from byte `offset` on. Host writes overtake recorded commands, so those that use
   * the buffer are submitted first.
   */
  write(buffer: PooledBuffer, offset: number, data: HostData): void {
    if (buffer.lastBatch === this.batch) this.flush();
    this.gpu.queue.writeBuffer(buffer.gpu, offset, data);
    buffer.version++;
    this.counts.uploads++;
  }

  /** Copies byte ranges into buffers that the host can map, after everything recorded so far, and submits it all. */
  copyToMappable(copies: readonly MappableCopy[], counted: 'readBacks' | 'peeks'): void {
    this.pass?.end();
    this.pass = undefined;
    this.encoder ??= this.gpu.createCommandEncoder();
    for (const { from, into, at } of copies) {
      this.encoder.copyBufferToBuffer(from.buffer.gpu, from.offset, into, at, from.size);
    }
    this.counts[counted]++;
    this.flush();
  }

  /**
   * Records work into a pass of its own whose time is taken, and submits it.
   * @param after records what follows the pass
   * @returns whether all of it was one pass
   */
  timed(querySet: GPUQuerySet, record: () => void, after: (encoder: GPUCommandEncoder) => void): boolean {
    this.flush();
    this.passDescriptor = {
      timestampWrites: { querySet, beginningOfPassWriteIndex: 0, endOfPassWriteIndex: 1 },
    };
    const { batch } = this;
    try {
      record();
    } finally {
      this.passDescriptor = undefined;
    }
    if (this.batch !== batch || !this.encoder || !this.pass) return false;
    this.pass.end();
    this.pass = undefined;
    after(this.encoder);
    this.flush();
    return true;
  }

  /** Submits everything recorded. */
  flush(): void {
    if (!this.encoder) return;
    this.pass?.end();
    this.parameters.upload();
    this.gpu.queue.submit([this.encoder.finish()]);
    this.counts.submits++;
    this.beginBatch();
  }

  /** Drops everything recorded and not yet submitted. */
  discard(): void {
    this.pass?.end();
    this.parameters.discard();
    this.beginBatch();
  }

  resetCounts(): void {
    Object.assign(this.counts, noCounts());
  }

  destroy(): void {
    this.parameters.destroy();
  }

  private beginBatch(): void {
    this.encoder = undefined;
    this.pass = undefined;
    this.recorded = 0;
    this.batch++;
  }

  /** @returns the byte at which so many bytes of uniform blocks can lie, after a submit where there is no room */
  private takeParameters(bytes: number): number {
    // What is timed is one pass, as long as there is room.
    const enough = this.recorded >= dispatchesPerSubmit && !this.passDescriptor;
    if (enough || !this.parameters.hasRoom(bytes)) this.flush();
    return this.parameters.take(bytes);
  }

  /** @param offset of its uniform block */
  private encode({ program, group, workgroups }: Command, offset: number): void {
    this.encoder ??= this.gpu.createCommandEncoder();
    this.pass ??= this.encoder.beginComputePass(this.passDescriptor);
    this.pass.setPipeline(program.pipeline);
    this.pass.setBindGroup(0, group);
    this.pass.setBindGroup(1, this.parameters.group(offset, program.parameterBytes));
    this.pass.dispatchWorkgroups(...workgroups);
    this.recorded++;
    this.counts.dispatches++;
  }
}
