/** Bytes of the buffer in which the uniform blocks of a submit lie side by side. */
const bufferBytes = 1 << 18;

/** Blocks take multiples of so many bytes: the largest `minUniformBufferOffsetAlignment` that WebGPU allows. */
const stepBytes = 256;

/** How every program sees its uniform block: as group 1, alone. */
export function parameterLayout(gpu: GPUDevice): GPUBindGroupLayout {
  return gpu.createBindGroupLayout({
    label: 'parameters',
    entries: [{ binding: 0, visibility: GPUShaderStage.COMPUTE, buffer: { type: 'uniform' } }],
  });
}

/**
 * The uniform blocks of dispatches until they are submitted. Every place has a bind group of its own: offsets that are given
 * when a group is bound (`hasDynamicOffset`) would need a single one, but make lavapipe copy its descriptors, which takes
 * three times as long as all else about a small dispatch (`kernels/REJECTED.md`).
 */
export class UniformBlocks {
  /** What the blocks will hold. */
  readonly staging = new DataView(new ArrayBuffer(bufferBytes));
  private readonly stagingBytes = new Uint8Array(this.staging.buffer);
  private readonly buffer: GPUBuffer;
  private readonly groups = new Map<number, GPUBindGroup>();
  private used = 0;

  constructor(
    private readonly gpu: GPUDevice,
    private readonly layout: GPUBindGroupLayout,
  ) {
    this.buffer = gpu.createBuffer({
      label: 'parameters',
      size: bufferBytes,
      usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
    });
  }

  hasRoom(bytes: number): boolean {
    return this.used + bytes <= bufferBytes;
  }

  /** @returns the byte of {@link staging} at which a block begins */
  take(bytes: number): number {
    const offset = this.used;
    this.used += Math.ceil(bytes / stepBytes) * stepBytes;
    return offset;
  }

  /** A copy of what a block holds. */
  copy(offset: number, bytes: number): Uint8Array {
    return this.stagingBytes.slice(offset, offset + bytes);
  }

  fill(offset: number, block: Uint8Array): void {
    this.stagingBytes.set(block, offset);
  }

  /** The bind group of a block. */
  group(offset: number, bytes: number): GPUBindGroup {
    const steps = Math.ceil(bytes / stepBytes);
    const key = steps * bufferBytes + offset;
    let group = this.groups.get(key);
    if (!group) {
      const resource = { buffer: this.buffer, offset, size: steps * stepBytes };
      group = this.gpu.createBindGroup({ layout: this.layout, entries: [{ binding: 0, resource }] });
      this.groups.set(key, group);
    }
    return group;
  }

  /** Sends the blocks to the GPU, before what uses them is submitted, and begins anew. */
  upload(): void {
    if (this.used > 0) this.gpu.queue.writeBuffer(this.buffer, 0, this.staging.buffer, 0, this.used);
    this.used = 0;
  }

  /** Begins anew without what uses them. */
  discard(): void {
    this.used = 0;
  }

  destroy(): void {
    this.buffer.destroy();
  }
}
