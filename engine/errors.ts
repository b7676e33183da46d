/** Base of everything the engine throws on purpose. */
export class EngineError extends Error {
  override name = 'EngineError';
}

/** Operands of an operation do not fit together. The message names the operation and every shape. */
export class ShapeError extends EngineError {
  override name = 'ShapeError';
}

/** An allocation would pass the device's limits or the memory budget. Nothing was allocated. */
export class OutOfMemoryError extends EngineError {
  override name = 'OutOfMemoryError';
}

/** The GPU went away (driver reset, unplugged, `destroy`). Every later call on the device throws this. */
export class DeviceLostError extends EngineError {
  override name = 'DeviceLostError';
}

/** No adapter fits, or the environment has no WebGPU. The message says what to do. */
export class AdapterError extends EngineError {
  override name = 'AdapterError';
}

/** WebGPU refused a program or command: a fault of the engine, reported with the kernel it happened in. */
export class ValidationError extends EngineError {
  override name = 'ValidationError';
}

/** A tensor was used after it was disposed. */
export class DisposedError extends EngineError {
  override name = 'DisposedError';
}
