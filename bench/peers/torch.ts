/** PyTorch, on a GPU by CUDA or ROCm where it has one, else on the CPU: a peer in another process. */
import { z } from 'zod';
import {
  adamwSettings,
  dropoutProbability,
  layerNormEpsilon,
  lerpWeight,
  momentumFactor,
} from '../kernels/settings.js';
import type { OperandValues } from '../kernels/values.js';
import type { NumberType, Work } from '../kernels/work.js';
import { peerOperands } from './operands.js';
import type { Peer, PreparedWork } from './peer.js';
import { PeerUnable, noInt8, orUnable } from './peer_unable.js';
import { type TorchOptions, TorchProcess } from './torch_process.js';

const nothing = z.object({});
const preparation = z.object({ note: z.string() });
const duration = z.object({ milliseconds: z.number().positive() });

/**
 * @param python executable that has PyTorch
 * @throws PeerUnable that says what to do, where there is no such Python or it has no PyTorch
 */
export async function openTorch(python: string, options: TorchOptions = {}): Promise<Peer> {
  const started = await TorchProcess.start(python, 'kernels', options);
  const { name, version, device } = started.greeting;
  let { process } = started;
  return {
    name,
    version,
    computesOn: device,
    async prepare(work, dtype, values) {
      // What killed the last one, as too much memory, need not kill the next.
      if (process.ended) ({ process } = await TorchProcess.start(python, 'kernels', options));
      return orUnable(() => prepare(process, work, dtype, values));
    },
    close: () => process.close(),
  };
}

async function prepare(
  process: TorchProcess,
  work: Work,
  dtype: NumberType,
  values: OperandValues,
): Promise<PreparedWork> {
  if (dtype === 'int8') throw new PeerUnable(noInt8);
  const { inputs, outputs } = peerOperands(work, dtype, 'heads first');
  const tensors = inputs.map(({ name, shape, dtype: storedAs }) => ({
    name,
    shape,
    storedAs,
    values: values[name]!,
  }));
  const settings = { layerNormEpsilon, adamw: adamwSettings, momentumFactor, lerpWeight, dropoutProbability };
  const { answer } = await process.request(
    preparation,
    { op: 'prepare', work, dtype, outputs, settings },
    tensors,
  );
  const timedRun = async (times: number): Promise<number> =>
    (await process.request(duration, { op: 'run', times })).answer.milliseconds;
  return {
    ...(answer.note === '' ? {} : { note: answer.note }),
    run: async (times) => void (await timedRun(times)),
    timedRun,
    async results() {
      const { tensors: read } = await process.request(nothing, { op: 'results' });
      return Object.fromEntries(read.map((tensor) => [tensor.name, tensor.values]));
    },
    async dispose() {
      // With a process that has ended its memory is free, and another is started for the next work.
      await process.request(nothing, { op: 'dispose' }).catch(() => undefined);
    },
  };
}
