import { type CommandList, emptyCommandList } from './commands.js';
import { DisposedError } from './errors.js';
import type { Arena } from './memory.js';
import type { Tensor } from './tensor.js';

/** What a recording needs of its device. */
interface RecordingOwner {
  /** Runs work in a scope, its dispatches taken down and its new buffers kept in the arena. */
  record(target: RecordingTarget, work: () => void): void;
  repeat(list: CommandList): void;
  closeArena(arena: Arena): void;
  /** Another number once what was recorded is no longer what would be dispatched now. */
  generation(): number;
}

/** Where work is taken down. */
export interface RecordingTarget {
  readonly list: CommandList;
  readonly arena: Arena;
  /** Keeps the memory of a tensor that was made before. */
  retain(tensor: Tensor): void;
}

/**
 * Work that comes again and again over the same memory, as the steps of a greedy loop do. Each of its parts is run once;
 * afterwards its dispatches are sent again without asking what they are, at a tenth of the host's time.
 *
 * Parts see what their tensors hold at the time. Their memory, that of their intermediate results included, stays taken
 * until the recording is disposed.
 */
export class Recording {
  private readonly parts = new Map<string | number, CommandList>();
  private readonly arena: Arena = { free: new Map(), buffers: new Set() };
  private readonly retained = new Map<number, Tensor>();
  private readonly generation: number;
  private disposed = false;

  /** @internal Use `device.newRecording()`. */
  constructor(private readonly owner: RecordingOwner) {
    this.generation = owner.generation();
  }

  /**
   * Whether its parts can be repeated: not after something went wrong on the device, and not where other variants of
   * kernels were chosen since ({@link Device.tune}).
   */
  get usable(): boolean {
    return this.owner.generation() === this.generation;
  }

  /** Bytes that stay taken, without those of tensors that were there before. */
  get bytes(): number {
    return [...this.arena.buffers].reduce((total, buffer) => total + buffer.bytes, 0);
  }

  /**
   * Does a part of the work.
   * @param part its name or number
   * @param work records operations on the device, the same each time: it is called the first time alone. Tensors made in it
   *   are disposed at its end; those that it keeps must be kept as long as parts use them
   * @throws EngineError where it writes values of the host, reads any or repeats other work: these would not come again
   */
  run(part: string | number, work: () => void): void {
    if (this.disposed) throw new DisposedError('a recording was used after dispose');
    const known = this.parts.get(part);
    if (known) {
      this.owner.repeat(known);
      return;
    }
    const list = emptyCommandList();
    const retain = (tensor: Tensor): void => this.retain(tensor);
    this.owner.record({ list, arena: this.arena, retain }, work);
    this.parts.set(part, list);
  }

  /** Frees its memory. */
  dispose(): void {
    this.disposed = true;
    for (const tensor of this.retained.values()) tensor.dispose();
    this.retained.clear();
    this.parts.clear();
    this.owner.closeArena(this.arena);
  }

  private retain(tensor: Tensor): void {
    const { id, arena } = tensor.buffer;
    if (arena === this.arena || this.retained.has(id)) return;
    this.retained.set(id, tensor.device.keep(tensor.view(tensor.shape, tensor.strides, tensor.offset)));
  }
}
