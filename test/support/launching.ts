import { type Device, type Tensor } from '../../engine/index.js';
import type { AdapterTraits, Launch, Operand } from '../../kernels/index.js';

/** Ways that kernels take on a software adapter, and those of GPUs, which run there too. */
export const adapterForms: [string, Partial<AdapterTraits>][] = [
  ['as on a CPU', {}],
  ['as on a GPU', { software: false }],
  ['without subgroups', { software: false, subgroupSize: 0 }],
];

/** Records launches for the traits of a device, some of them replaced. */
export class Launcher {
  readonly traits: AdapterTraits;

  constructor(
    private readonly device: Device,
    own: Partial<AdapterTraits> = {},
  ) {
    this.traits = { ...device.traits, ...own };
  }

  run(
    tensors: readonly Tensor[],
    build: (operands: readonly Operand[], traits: AdapterTraits) => Launch,
  ): void {
    this.device.dispatch(
      (operands) => build(operands, this.traits),
      tensors,
      () => 'test',
    );
  }
}

/** Bits of floats, to see that two results are the same in all of them. */
export function bitsOf(values: ArrayLike<number>): Uint32Array {
  return new Uint32Array(Float32Array.from(values).buffer);
}
