/** TensorFlow.js on its WebGPU backend, in Node. */
import type { OperandValues } from '../kernels/values.js';
import type { NumberType, Work } from '../kernels/work.js';
import { type PeerAdapter, awake, withErrorScopes } from './navigator_gpu.js';
import { peerOperands } from './operands.js';
import { installedVersion, requireInstalled } from './packages.js';
import type { Peer, PreparedWork } from './peer.js';
import { PeerUnable, noInt8, orUnable } from './peer_unable.js';
import type { TensorFlow, TensorFlowTensor, TensorFlowTensors } from './tensorflow_api.js';
import { tensorFlowWork } from './tensorflow_work.js';

const [corePackage, backendPackage] = ['@tensorflow/tfjs', '@tensorflow/tfjs-backend-webgpu'] as const;

interface Backend {
  readonly device: GPUDevice;
  /** The backend gathers several operations in a pass before it submits them; these submit what there is. */
  ensureCommandEncoderReady(): void;
  endComputePassEncoder(): void;
  submitQueue(): void;
}

interface Runtime {
  readonly tf: TensorFlow;
  readonly backend: Backend;
}

/**
 * Opens the runtime on an adapter, which must be `navigator.gpu`'s.
 * @throws PeerUnable where the packages are not installed or do not start
 */
export async function openTensorFlow(folder: string, adapter: PeerAdapter): Promise<Peer> {
  const version = installedVersion(folder, backendPackage);
  const runtime = await orUnable(() => awake(start(folder, adapter)));
  return {
    name: 'TensorFlow.js',
    version,
    computesOn: 'webgpu',
    prepare: (work, dtype, values) => orUnable(() => awake(prepare(runtime, work, dtype, values))),
    close: async () => runtime.tf.removeBackend('webgpu'),
  };
}

async function start(folder: string, { gpu }: PeerAdapter): Promise<Runtime> {
  const tf = requireInstalled<TensorFlow>(folder, corePackage, ['setBackend', 'tidy', 'grads', 'env']);
  requireInstalled<{ WebGPUBackend: unknown }>(folder, backendPackage, ['WebGPUBackend']);
  if (!gpu || !(await tf.setBackend('webgpu'))) throw new PeerUnable('its WebGPU backend does not start');
  // Small tensors would be computed on the CPU.
  tf.env().set('WEBGPU_CPU_FORWARD', false);
  const backend = tf.backend() as Partial<Backend>;
  if (!backend.device || !backend.submitQueue) throw new PeerUnable('its WebGPU backend shows no device');
  return { tf, backend: backend as Backend };
}

async function prepare(
  { tf, backend }: Runtime,
  work: Work,
  dtype: NumberType,
  values: OperandValues,
): Promise<PreparedWork> {
  if (dtype === 'f16') throw new PeerUnable('no f16');
  if (dtype === 'int8') throw new PeerUnable(noInt8);
  const { inputs, outputs } = peerOperands(work, dtype, 'heads first');
  const { constants = {}, compute, note } = tensorFlowWork(tf, work);
  const uploaded: TensorFlowTensors = Object.fromEntries(
    inputs.map(({ name, shape, dtype }) => {
      const data = dtype === 'u32' ? Int32Array.from(values[name]!) : Float32Array.from(values[name]!);
      return [name, tf.tensor(data, shape, dtype === 'u32' ? 'int32' : 'float32')];
    }),
  );
  const tensors: TensorFlowTensors = { ...uploaded, ...constants };
  const dispose = async (): Promise<void> => disposeAll(tensors);
  const finish = (): Promise<undefined> => {
    backend.ensureCommandEncoderReady();
    backend.endComputePassEncoder();
    backend.submitQueue();
    return backend.device.queue.onSubmittedWorkDone();
  };
  const run = async (times: number): Promise<void> => {
    for (let i = 0; i < times; i++) disposeAll(tf.tidy(() => compute(tensors)));
    await finish();
  };
  try {
    await withErrorScopes(backend.device, () => run(1));
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    ...(note === undefined ? {} : { note }),
    run: (times) => awake(run(times)),
    async results() {
      const results = tf.tidy(() => compute(tensors));
      const read: Record<string, Float32Array | Uint32Array> = {};
      for (const { name, dtype } of outputs) {
        const data = await awake(results[name]!.data());
        read[name] = dtype === 'u32' ? Uint32Array.from(data) : Float32Array.from(data);
      }
      disposeAll(results);
      return read;
    },
    dispose,
  };
}

function disposeAll(tensors: TensorFlowTensors): void {
  for (const tensor of Object.values<TensorFlowTensor>(tensors)) tensor.dispose();
}
