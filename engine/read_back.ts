import type { CommandQueue } from './commands.js';
import { denseWords } from './dense_words.js';
import { DeviceLostError, ShapeError } from './errors.js';
import type { FailureLog } from './failures.js';
import { hostArrays } from './host_data.js';
import { beginWait } from './patient_polling.js';
import type { Binding } from './programs.js';
import type { Scopes } from './scopes.js';
import { shapeText } from './shape.js';
import type { Tensor, TensorData } from './tensor.js';

/** Larger mappable buffers are given back at once instead of kept for the next reading. */
const largestKeptBytes = 16 << 20;

/** Bytes of a mappable buffer at most: copies of 2 GiB crash a driver, and mapping as much takes minutes. */
const largestPieceBytes = 64 << 20;

/** A range of a tensor's bytes in a mappable buffer. */
interface Part {
  /** Index of the tensor. */
  readonly tensor: number;
  /** Byte within the tensor. */
  readonly start: number;
  /** Byte within the mappable buffer. */
  readonly at: number;
  readonly from: Binding;
}

interface Piece {
  readonly mappable: GPUBuffer;
  readonly bytes: number;
  readonly parts: readonly Part[];
}

/** Brings tensors to the host through buffers that it can map. */
export class ReadBack {
  private readonly kept = new Map<number, GPUBuffer[]>();

  constructor(
    private readonly gpu: GPUDevice,
    private readonly queue: CommandQueue,
    private readonly failures: FailureLog,
    private readonly scopes: Scopes,
  ) {}

  /**
   * Reads tensors as all of them are now, with one wait.
   * @throws the first error of anything that was recorded before; ShapeError for q8
   */
  async read(tensors: readonly Tensor[]): Promise<TensorData[]> {
    const dense = this.densely(tensors);
    let results: TensorData[];
    try {
      results = await this.bring(dense, 'readBacks');
    } catch (error) {
      await this.failures.settle();
      const reason = error instanceof Error ? error.message : String(error);
      throw new DeviceLostError(`reading back failed: ${reason}`);
    } finally {
      dense.forEach((tensor) => tensor.dispose());
    }
    await this.failures.settle();
    return results;
  }

  /**
   * Reads a dense tensor of 4-byte elements; a failure stays with whoever settles it.
   * @throws ShapeError at once for any other
   */
  peek(tensor: Tensor): Promise<TensorData | undefined> {
    if (!tensor.contiguous || tensor.dtype === 'f16' || tensor.dtype === 'q8') {
      throw new ShapeError(
        `peek: ${tensor.dtype}${shapeText(tensor.shape)} is not dense, or of another type than f32, i32 or u32`,
      );
    }
    return this.bring([tensor], 'peeks').then(
      ([values]) => values,
      () => undefined,
    );
  }

  /** Handles of dense tensors of 4-byte elements, out of every scope. */
  private densely(tensors: readonly Tensor[]): Tensor[] {
    const quantized = tensors.find(({ dtype }) => dtype === 'q8');
    if (quantized)
      throw new ShapeError(`read: q8${shapeText(quantized.shape)} is for products with it alone`);
    return this.scopes.run(() => {
      const copies = tensors.map((tensor) => denseWords(tensor));
      copies.forEach((copy) => this.scopes.release(copy));
      return copies;
    });
  }

  /** Brings dense tensors of 4-byte elements to the host. */
  private async bring(tensors: readonly Tensor[], counted: 'readBacks' | 'peeks'): Promise<TensorData[]> {
    const results = tensors.map(({ dtype, size }) => new hostArrays[dtype](size));
    const pieces = this.lay(tensors);
    const copies = pieces.flatMap(({ mappable, parts }) =>
      parts.map((part) => ({ ...part, into: mappable })),
    );
    const waiting = new Set(pieces.map(({ mappable }) => mappable));
    try {
      this.queue.copyToMappable(copies, counted);
      beginWait();
      for (const { mappable, bytes, parts } of pieces) {
        await mappable.mapAsync(GPUMapMode.READ, 0, bytes);
        const mapped = mappable.getMappedRange(0, bytes);
        for (const { tensor, start, at, from } of parts) {
          new Uint8Array(results[tensor]!.buffer, start).set(new Uint8Array(mapped, at, from.size));
        }
        mappable.unmap();
        this.giveBack(mappable);
        waiting.delete(mappable);
      }
      return results;
    } finally {
      for (const mappable of waiting) mappable.destroy();
    }
  }

  /** Lays tensors out one after another over mappable buffers; there is at least one, to wait for. */
  private lay(tensors: readonly Tensor[]): Piece[] {
    const parts: (Part & { readonly piece: number })[] = [];
    let end = 0;
    for (const [index, { buffer, offset, size }] of tensors.entries()) {
      for (let start = 0; start < size * 4;) {
        const at = end % largestPieceBytes;
        const bytes = Math.min(size * 4 - start, largestPieceBytes - at);
        const from = { buffer, offset: offset * 4 + start, size: bytes };
        parts.push({ tensor: index, start, at, from, piece: Math.floor(end / largestPieceBytes) });
        start += bytes;
        end += bytes;
      }
    }
    return Array.from({ length: Math.max(1, Math.ceil(end / largestPieceBytes)) }, (_, piece) => {
      const bytes = Math.max(4, Math.min(largestPieceBytes, end - piece * largestPieceBytes));
      const capacity = 2 ** Math.ceil(Math.log2(bytes));
      const mappable = this.kept.get(capacity)?.pop() ?? this.create(capacity);
      return { mappable, bytes, parts: parts.filter((part) => part.piece === piece) };
    });
  }

  private create(size: number): GPUBuffer {
    return this.failures.watchMemory(`reading back ${size} bytes`, () =>
      this.gpu.createBuffer({ size, usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST }),
    );
  }

  private giveBack(mappable: GPUBuffer): void {
    const capacity = mappable.size;
    if (capacity > largestKeptBytes) {
      mappable.destroy();
      return;
    }
    const list = this.kept.get(capacity);
    if (list) list.push(mappable);
    else this.kept.set(capacity, [mappable]);
  }
}
