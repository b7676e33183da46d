/** Compiled programs and bind groups, each made once and found again by key. */
import { type Access, type Launch, parameterBytes, programKey, programSource } from '../kernels/index.js';
import type { PooledBuffer } from './memory.js';
import { parameterLayout } from './uniform_blocks.js';

export interface Program {
  readonly pipeline: GPUComputePipeline;
  readonly tensors: TensorLayout;
  readonly parameterBytes: number;
}

/** How programs that read and write as many tensors alike see these: as group 0. */
interface TensorLayout {
  readonly id: number;
  readonly layout: GPUBindGroupLayout;
  /** Of the programs: their parameters are group 1. */
  readonly ofProgram: GPUPipelineLayout;
}

/** Part of a buffer that a kernel sees, in bytes. */
export interface Binding {
  readonly buffer: PooledBuffer;
  readonly offset: number;
  readonly size: number;
}

/** A workload binds the same buffers again and again; this many groups hold the largest model's reading. */
const maxBindGroups = 16_384;

export class ProgramCache {
  /** How every program sees its parameters. */
  readonly parameterLayout: GPUBindGroupLayout;
  private readonly layouts = new Map<string, TensorLayout>();
  private nextLayoutId = 0;
  private readonly programs = new Map<string, Program>();
  /** Programs that are being compiled beside other work. */
  private readonly pending = new Map<string, Promise<void>>();
  private readonly bindGroups = new Map<string, { group: GPUBindGroup; buffers: readonly number[] }>();
  private readonly groupsOfBuffer = new Map<number, Set<string>>();

  /** @param watch follows a creation whose refusal arrives later, under a label, and undoes it */
  constructor(
    private readonly gpu: GPUDevice,
    private readonly watch: <T>(label: string, create: () => T, undo: () => void) => T,
  ) {
    this.parameterLayout = parameterLayout(gpu);
  }

  get programCount(): number {
    return this.programs.size;
  }

  get bindGroupCount(): number {
    return this.bindGroups.size;
  }

  /** @param label names the work that needs the program first, for the message when it does not compile */
  program(launch: Launch, label: () => string): Program {
    const key = programKey(launch);
    const known = this.programs.get(key);
    if (known) return known;
    const compile = (): Program => this.compile(launch);
    const program = this.watch(`${label()}: kernel ${launch.kernel} (${key})`, compile, () => {
      this.programs.delete(key);
      this.forgetLayout(program.tensors);
    });
    this.programs.set(key, program);
    return program;
  }

  /**
   * Compiles a program beside other work, unless it is there. Where that fails nothing happens: whoever needs the program
   * compiles it again and is told.
   */
  prepare(launch: Launch): Promise<void> {
    const key = programKey(launch);
    const known = this.programs.has(key) ? Promise.resolve() : this.pending.get(key);
    if (known) return known;
    const pending = this.compileBeside(key, launch)
      .catch(() => {})
      .finally(() => this.pending.delete(key));
    this.pending.set(key, pending);
    return pending;
  }

  /** @param label names the work that binds them first, for the message when they are refused */
  bindGroup({ tensors }: Program, bindings: readonly Binding[], label: () => string): GPUBindGroup {
    let key = `${tensors.id}`;
    for (const { buffer, offset, size } of bindings) key += `,${buffer.id}:${offset}:${size}`;
    const known = this.bindGroups.get(key);
    if (known) return known.group;
    if (this.bindGroups.size >= maxBindGroups) this.clearBindGroups();
    const group = this.gpu.createBindGroup({
      label: label(),
      layout: tensors.layout,
      entries: bindings.map(({ buffer, offset, size }, index) => ({
        binding: index + 1,
        resource: { buffer: buffer.gpu, offset, size },
      })),
    });
    const buffers = bindings.map(({ buffer }) => buffer.id);
    this.bindGroups.set(key, { group, buffers });
    for (const id of buffers) {
      const keys = this.groupsOfBuffer.get(id);
      if (keys) keys.add(key);
      else this.groupsOfBuffer.set(id, new Set([key]));
    }
    return group;
  }

  forgetBuffer(buffer: PooledBuffer): void {
    for (const key of this.groupsOfBuffer.get(buffer.id) ?? []) {
      for (const other of this.bindGroups.get(key)?.buffers ?? []) {
        if (other !== buffer.id) this.groupsOfBuffer.get(other)?.delete(key);
      }
      this.bindGroups.delete(key);
    }
    this.groupsOfBuffer.delete(buffer.id);
  }

  /** Forgets every bind group. */
  clearBindGroups(): void {
    this.bindGroups.clear();
    this.groupsOfBuffer.clear();
  }

  private compile(launch: Launch): Program {
    const { descriptor, ...described } = this.describe(launch);
    return { pipeline: this.gpu.createComputePipeline(descriptor), ...described };
  }

  private async compileBeside(key: string, launch: Launch): Promise<void> {
    // Errors of the module are those of the pipeline too.
    this.gpu.pushErrorScope('validation');
    let described: ReturnType<ProgramCache['describe']>;
    try {
      described = this.describe(launch);
    } finally {
      this.gpu.popErrorScope().catch(() => {});
    }
    const { descriptor, ...program } = described;
    const pipeline = await this.gpu.createComputePipelineAsync(descriptor).catch((error: unknown) => {
      this.forgetLayout(program.tensors);
      throw error;
    });
    if (!this.programs.has(key)) this.programs.set(key, { pipeline, ...program });
  }

  private describe(
    launch: Launch,
  ): Omit<Program, 'pipeline'> & { readonly descriptor: GPUComputePipelineDescriptor } {
    const tensors = this.tensorLayout(launch.access);
    const module = this.gpu.createShaderModule({ label: launch.kernel, code: programSource(launch) });
    const descriptor = {
      label: launch.kernel,
      layout: tensors.ofProgram,
      compute: { module },
    };
    return { tensors, parameterBytes: parameterBytes(launch), descriptor };
  }

  private tensorLayout(accesses: readonly Access[]): TensorLayout {
    const types = accesses.map((access) => (access === 'read' ? 'read-only-storage' : 'storage'));
    const key = types.join();
    let known = this.layouts.get(key);
    if (!known) {
      const entries = types.map((type, index): GPUBindGroupLayoutEntry => ({
        binding: index + 1,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type },
      }));
      const layout = this.gpu.createBindGroupLayout({ label: key, entries });
      const bindGroupLayouts = [layout, this.parameterLayout];
      known = {
        id: this.nextLayoutId++,
        layout,
        ofProgram: this.gpu.createPipelineLayout({ bindGroupLayouts }),
      };
      this.layouts.set(key, known);
    }
    return known;
  }

  /** Of a program that was refused: the layout may be why. Other programs keep the one that they have. */
  private forgetLayout(refused: TensorLayout): void {
    for (const [key, layout] of this.layouts) if (layout === refused) this.layouts.delete(key);
  }
}
