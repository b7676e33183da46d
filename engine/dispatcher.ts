import type { Launch, Operand } from '../kernels/index.js';
import { type BindingLimits, bindTensor } from './binding_windows.js';
import type { CommandList, CommandQueue } from './commands.js';
import { EngineError } from './errors.js';
import type { Arena } from './memory.js';
import { beginWait } from './patient_polling.js';
import type { ProgramCache } from './programs.js';
import type { RecordingTarget } from './recording.js';
import type { Scopes } from './scopes.js';
import type { Tensor } from './tensor.js';

/** What becomes of a dispatch: it is sent to the GPU, taken down by a recording as well, or only rehearsed. */
export class Dispatcher {
  private last: (() => string) | undefined;
  private outdated = 0;
  private recording: RecordingTarget | undefined;
  /** What is not dispatched, while work is gone through without doing it. */
  private rehearsed: Launch[] | undefined;

  constructor(
    private readonly queue: CommandQueue,
    private readonly programs: ProgramCache,
    private readonly scopes: Scopes,
    private readonly bindingLimits: BindingLimits,
  ) {}

  /** Names the work that was dispatched last. */
  lastWork(): string | undefined {
    return this.last?.();
  }

  /** Another number whenever recorded work became what would not be dispatched now. */
  get generation(): number {
    return this.outdated;
  }

  outdateRecordings(): void {
    this.outdated++;
  }

  /** Whether work is gone through without doing it. */
  get rehearses(): boolean {
    return this.rehearsed !== undefined;
  }

  /** Where new buffers belong while work is recorded. */
  get arena(): Arena | undefined {
    return this.recording?.arena;
  }

  /**
   * @param build makes the launch over the tensors as they are bound
   * @throws EngineError where one does not fit a binding
   */
  dispatch(
    build: (operands: readonly Operand[]) => Launch,
    tensors: readonly Tensor[],
    label: () => string,
  ): void {
    const bound = tensors.map((tensor) => bindTensor(tensor, this.bindingLimits, label));
    const launch = build(bound.map(({ operand }) => operand));
    if (this.rehearsed) {
      this.rehearsed.push(launch);
      return;
    }
    this.last = label;
    const bindings = bound.map(({ binding }) => binding);
    this.queue.dispatch(launch, bindings, label, this.recording?.list);
    if (!this.recording) return;
    this.recording.list.lastWork = label;
    for (const tensor of tensors) this.recording.retain(tensor);
  }

  countFlops(flops: number): void {
    if (this.rehearses) return;
    this.queue.counts.flops += flops;
    if (this.recording) this.recording.list.flops += flops;
  }

  /** Drops what is not yet submitted, and keeps nothing that was made for it. */
  discard(): void {
    this.queue.discard();
    this.programs.clearBindGroups();
    this.outdateRecordings();
  }

  /** Does work in a scope, and takes it down. */
  record(target: RecordingTarget, work: () => void): void {
    this.needDirect('record');
    this.recording = target;
    try {
      this.scopes.run(() => needDone('record', work()));
    } finally {
      this.recording = undefined;
    }
  }

  repeat(list: CommandList): void {
    this.needDirect('repeat');
    this.last = list.lastWork;
    this.queue.repeat(list);
  }

  /** Goes through work in a scope, and compiles what it would have dispatched side by side. */
  async compile(work: () => void): Promise<void> {
    const launches = this.rehearse('compile', work);
    beginWait();
    await Promise.all(launches.map((launch) => this.programs.prepare(launch)));
  }

  /** Goes through work in a scope without doing it. @returns what it would have dispatched */
  rehearse(operation: string, work: () => void): Launch[] {
    this.needDirect(operation);
    const launches: Launch[] = [];
    this.rehearsed = launches;
    try {
      this.scopes.run(() => needDone(operation, work()));
    } finally {
      this.rehearsed = undefined;
    }
    return launches;
  }

  /** @throws EngineError within work that is recorded or rehearsed, for what is no dispatch and would not come again */
  needDirect(operation: string): void {
    if (this.rehearses) {
      throw new EngineError(`${operation}: cannot be part of work that is only rehearsed`);
    }
    if (!this.recording) return;
    throw new EngineError(
      `${operation}: cannot be part of a recording, which repeats kernels alone; do it before`,
    );
  }
}

/** Callbacks that return promises pass for those that return nothing. */
function needDone(operation: string, result: unknown): void {
  if (result instanceof Promise) throw new EngineError(`${operation}: the work cannot wait for anything`);
}
