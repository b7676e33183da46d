import { DeviceLostError, type EngineError, OutOfMemoryError, ValidationError } from './errors.js';

/**
 * What went wrong on a device. WebGPU reports errors later than they happen; they are kept here and thrown by the next
 * call that can.
 */
export class FailureLog {
  private failure: EngineError | undefined;
  private readonly checks = new Set<Promise<void>>();

  /**
   * @param lastWork names the work recorded last, for the message of a lost device
   * @param discard drops what was recorded: commands beside a faulty one would fail with it, at an innocent call
   */
  constructor(
    private readonly gpu: GPUDevice,
    lastWork: () => string | undefined,
    private readonly discard: () => void,
  ) {
    gpu.addEventListener('uncapturederror', (event) => {
      event.preventDefault();
      this.failure ??=
        event.error instanceof GPUOutOfMemoryError
          ? new OutOfMemoryError(`the GPU is out of memory: ${event.error.message}`)
          : new ValidationError(event.error.message);
    });
    void gpu.lost.then(({ reason, message }) => {
      if (reason === 'destroyed') return this.close();
      const work = lastWork();
      const last = work === undefined ? '' : ` The last work recorded was ${work}.`;
      this.failure = new DeviceLostError(`the GPU device was lost: ${message}.${last}`);
    });
  }

  /**
   * Throws what went wrong since the last call; a lost device stays lost. While reports are outstanding, which may name the
   * cause, the rest waits for them.
   */
  check(): void {
    const failure = this.failure;
    if (!failure) return;
    if (failure instanceof DeviceLostError) throw failure;
    if (this.checks.size > 0) return;
    this.failure = undefined;
    this.discard();
    throw failure;
  }

  /** Waits for outstanding reports, then throws what went wrong. */
  async settle(): Promise<void> {
    await Promise.all(this.checks);
    this.check();
  }

  /** From now on every check throws. */
  close(): void {
    this.failure = new DeviceLostError('the device was closed');
  }

  /**
   * Makes something that WebGPU may refuse; the refusal is reported under the label.
   * @param undo called when it was refused, to forget it
   */
  watchValidity<T>(label: string, make: () => T, undo?: () => void): T {
    return this.watch('validation', (message) => new ValidationError(`${label}: ${message}`), make, undo);
  }

  /** Makes something that may find no memory, likewise. */
  watchMemory<T>(label: string, make: () => T, undo?: () => void): T {
    const hint = 'Use a smaller batch or precision f16.';
    const describe = (): EngineError => new OutOfMemoryError(`${label}: the GPU is out of memory. ${hint}`);
    return this.watch('out-of-memory', describe, make, undo);
  }

  private watch<T>(
    filter: GPUErrorFilter,
    describe: (message: string) => EngineError,
    make: () => T,
    undo: () => void = () => {},
  ): T {
    this.gpu.pushErrorScope(filter);
    const made = make();
    const check: Promise<void> = this.gpu
      .popErrorScope()
      .then((error) => {
        if (!error) return;
        undo();
        // The cause beats the errors that follow from it, which name no kernel.
        if (!(this.failure instanceof DeviceLostError)) this.failure = describe(error.message);
      })
      .catch(ignoreLostDevice)
      .finally(() => this.checks.delete(check));
    this.checks.add(check);
    return made;
  }
}

/** A lost device reports itself through `lost`. */
function ignoreLostDevice(): void {}
