/**
 * Records dispatches into one compute pass until somebody needs a result, then submits them together. Uniform
 * blocks of all dispatches of a submit lie in one buffer and are bound by dynamic offset.
 */
import { type Launch, writeParameters } from '../kernels/index.js';
import type { PooledBuffer } from './memory.js';
import type { Binding, ProgramCache } from './programs.js';

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
export interface MappableCopy {
  readonly from: Binding;
  readonly into: GPUBuffer;
  /** Byte in `into`. */
  readonly at: number;
}

const parameterBufferBytes = 1 << 18;

export class CommandQueue {
  readonly counts: CommandCounts = noCounts();
  private readonly parameters: GPUBuffer;
  private readonly staging = new DataView(new ArrayBuffer(parameterBufferBytes));
  private readonly alignment: number;
  private used = 0;
  private batch = 1;
  private encoder: GPUCommandEncoder | undefined;
  private pass: GPUComputePassEncoder | undefined;
  /** What passes begin with while their time is taken. */
  private passDescriptor: GPUComputePassDescriptor | undefined;

  constructor(
    private readonly gpu: GPUDevice,
    private readonly programs: ProgramCache,
  ) {
    this.alignment = gpu.limits.minUniformBufferOffsetAlignment;
    this.parameters = gpu.createBuffer({
      label: 'parameters',
      size: parameterBufferBytes,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
  }

  /** Records one dispatch. `bindings` follow the launch's `access`; `label` names the work in WebGPU's messages. */
  dispatch(launch: Launch, bindings: readonly Binding[], label: () => string): void {
    const program = this.programs.program(launch, label);
    if (this.used + program.parameterBytes > parameterBufferBytes) this.flush();
    const offset = this.used;
    writeParameters(launch, this.staging, offset);
    this.used = Math.ceil((offset + program.parameterBytes) / this.alignment) * this.alignment;

    const group = this.programs.bindGroup(program, this.parameters, bindings, label);
    this.encoder ??= this.gpu.createCommandEncoder();
    this.pass ??= this.encoder.beginComputePass(this.passDescriptor);
    this.pass.setPipeline(program.pipeline);
    this.pass.setBindGroup(0, group, [offset]);
    this.pass.dispatchWorkgroups(...launch.workgroups);
    for (const { buffer } of bindings) buffer.lastBatch = this.batch;
    this.counts.dispatches++;
  }

  /**
   * Writes host bytes into a buffer. Host writes overtake recorded commands, so those that use the buffer are
   * submitted first.
   */
  write(buffer: PooledBuffer, offset: number, data: ArrayBufferView<ArrayBuffer>): void {
    if (buffer.lastBatch === this.batch) this.flush();
    // WebGPU writes whole words; an odd number of f16 is padded.
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
    if (bytes.byteLength % 4 === 0) {
      this.gpu.queue.writeBuffer(buffer.gpu, offset, bytes);
    } else {
      const padded = new Uint8Array(Math.ceil(bytes.byteLength / 4) * 4);
      padded.set(bytes);
      this.gpu.queue.writeBuffer(buffer.gpu, offset, padded);
    }
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
    if (this.used > 0) {
      this.gpu.queue.writeBuffer(this.parameters, 0, this.staging.buffer, 0, this.used);
    }
    this.gpu.queue.submit([this.encoder.finish()]);
    this.encoder = undefined;
    this.pass = undefined;
    this.used = 0;
    this.batch++;
    this.counts.submits++;
  }

  /** Drops everything recorded and not yet submitted. */
  discard(): void {
    this.pass?.end();
    this.encoder = undefined;
    this.pass = undefined;
    this.used = 0;
    this.batch++;
  }

  resetCounts(): void {
    Object.assign(this.counts, noCounts());
  }

  destroy(): void {
    this.parameters.destroy();
  }
}
