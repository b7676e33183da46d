/** ONNX Runtime Web's execution provider for WebGPU, in Node. */
import { readFile } from 'node:fs/promises';
import { type PeerAdapter, awake, withErrorScopes } from './navigator_gpu.js';
import { type OnnxTensor, onnxBytes } from './onnx_format.js';
import { type OnnxInput, type OnnxModel, onnxModel } from './onnx_model.js';
import {
  type Ort,
  type OrtData,
  type OrtSession,
  type OrtTensors,
  emptyData,
  plainResults,
  workOf,
} from './onnx_runtime.js';
import { importInstalled, installedPath, installedUrl, installedVersion } from './packages.js';
import type { Peer, PreparedWork } from './peer.js';
import { orUnable } from './peer_unable.js';

const packageName = 'onnxruntime-web';
const wasm = 'dist/ort-wasm-simd-threaded.asyncify';

interface OrtWeb extends Ort {
  readonly env: {
    readonly wasm: {
      numThreads?: number;
      wasmBinary?: Uint8Array;
      wasmPaths?: { readonly mjs: string };
    };
  };
}

interface Runtime {
  readonly ort: OrtWeb;
  readonly device: GPUDevice;
}

/**
 * Opens the runtime on an adapter, which must be `navigator.gpu`'s.
 * @throws PeerUnable where the package is not installed or does not start
 */
export async function openOnnxWeb(folder: string, adapter: PeerAdapter): Promise<Peer> {
  const version = installedVersion(folder, packageName);
  const runtime = await orUnable(() => awake(start(folder, adapter)));
  return {
    name: 'ONNX Runtime Web',
    version,
    computesOn: 'webgpu',
    prepare: async (work, dtype, values) =>
      workOf(work, await orUnable(() => awake(prepare(runtime, () => onnxModel(work, dtype, values))))),
    prepareModel: (model) => orUnable(() => awake(prepare(runtime, () => model))),
    close: async () => runtime.device.destroy(),
  };
}

async function start(folder: string, { gpu }: PeerAdapter): Promise<Runtime> {
  const ort = await importInstalled<OrtWeb>(folder, packageName, 'dist/ort.webgpu.min.mjs', [
    'InferenceSession',
    'Tensor',
    'env',
  ]);
  // Only operators without a kernel for the GPU would run on the CPU, and sessions refuse those. Node cannot fetch files.
  ort.env.wasm.numThreads = 1;
  ort.env.wasm.wasmBinary = await readFile(installedPath(folder, packageName, `${wasm}.wasm`));
  ort.env.wasm.wasmPaths = { mjs: installedUrl(folder, packageName, `${wasm}.mjs`) };
  const device = await deviceOf(gpu);
  const runtime = { ort, device };
  // The runtime looks for `navigator.gpu` when its first session is made.
  const x: OnnxTensor = { name: 'x', type: 'float32', shape: [4] };
  const y = { ...x, name: 'y' };
  const bytes = onnxBytes({
    nodes: [{ operator: 'Neg', inputs: ['x'], output: 'y' }],
    initializers: [],
    inputs: [x],
    outputs: [y],
  });
  await (await sessionOf(runtime, bytes)).release();
  return runtime;
}

/** A device with all that the adapter has for computing, as the runtime asks for when it makes its own. */
async function deviceOf(gpu: GPU): Promise<GPUDevice> {
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (!adapter) throw new Error('no adapter');
  const wanted = ['shader-f16', 'subgroups', 'timestamp-query', 'chromium-experimental-subgroup-matrix'];
  const requiredLimits: Record<string, number> = {};
  for (const name in adapter.limits) {
    const limit = adapter.limits[name as keyof GPUSupportedLimits];
    if (typeof limit === 'number') requiredLimits[name] = limit;
  }
  const device = await adapter.requestDevice({
    requiredFeatures: [...adapter.features].filter((name) => wanted.includes(name)) as GPUFeatureName[],
    requiredLimits,
  });
  acceptSharedMemory(device.queue);
  return device;
}

/** Dawn's binding refuses views of shared memory, which the runtime's whole memory is: they are copied first. */
function acceptSharedMemory(queue: GPUQueue): void {
  const write = queue.writeBuffer.bind(queue);
  queue.writeBuffer = (buffer, at, data, ...range) => {
    // The runtime passes bytes, so that what is counted in elements is counted in bytes.
    const shared = ArrayBuffer.isView(data) && data.buffer instanceof SharedArrayBuffer;
    write(buffer, at, shared ? Uint8Array.from(data as Uint8Array) : data, ...range);
  };
}

function sessionOf({ ort, device }: Runtime, model: Uint8Array): Promise<OrtSession> {
  return ort.InferenceSession.create(model, {
    executionProviders: [{ name: 'webgpu', device }],
    preferredOutputLocation: 'gpu-buffer',
    logSeverityLevel: 4,
    // An operator that ran on the CPU after all would be timed with its copies.
    extra: { session: { disable_cpu_ep_fallback: '1' } },
  });
}

async function prepare(runtime: Runtime, model: () => OnnxModel): Promise<PreparedWork> {
  const { ort, device } = runtime;
  const { bytes, inputs, outputs } = model();
  const session = await sessionOf(runtime, bytes);
  const buffers = new Map<string, GPUBuffer>();
  const onDevice = (tensor: OnnxTensor | OnnxInput): OrtTensors[string] => {
    const { data } = 'data' in tensor ? tensor : { data: emptyData(tensor) };
    const buffer = bufferOf(device, data);
    buffers.set(tensor.name, buffer);
    return ort.Tensor.fromGpuBuffer(buffer, { dataType: tensor.type, dims: tensor.shape });
  };
  const feeds: OrtTensors = Object.fromEntries(inputs.map((input) => [input.name, onDevice(input)]));
  const results: OrtTensors = Object.fromEntries(outputs.map((output) => [output.name, onDevice(output)]));
  const dispose = async (): Promise<void> => {
    await awake(session.release());
    for (const buffer of buffers.values()) buffer.destroy();
  };
  const run = async (times: number): Promise<void> => {
    for (let i = 0; i < times; i++) await session.run(feeds, results);
    await device.queue.onSubmittedWorkDone();
  };
  try {
    await withErrorScopes(device, () => run(1));
  } catch (error) {
    await dispose();
    throw error;
  }
  return {
    run: (times) => awake(run(times)),
    async results() {
      await awake(run(1));
      const data: Record<string, OrtData> = {};
      for (const output of outputs) {
        data[output.name] = await awake(readBack(device, buffers.get(output.name)!, emptyData(output)));
      }
      return plainResults(outputs, data);
    },
    dispose,
  };
}

/** The runtime's own buffers are rounded up to 16 bytes, and its kernels bind whole vectors. */
function bufferOf(device: GPUDevice, data: OrtData): GPUBuffer {
  const size = Math.ceil(data.byteLength / 16) * 16;
  const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST;
  const buffer = device.createBuffer({ size, usage });
  const bytes = new Uint8Array(size);
  bytes.set(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  device.queue.writeBuffer(buffer, 0, bytes);
  return buffer;
}

async function readBack(device: GPUDevice, buffer: GPUBuffer, into: OrtData): Promise<OrtData> {
  const staging = device.createBuffer({
    size: buffer.size,
    usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
  });
  const encoder = device.createCommandEncoder();
  encoder.copyBufferToBuffer(buffer, 0, staging, 0, buffer.size);
  device.queue.submit([encoder.finish()]);
  await staging.mapAsync(GPUMapMode.READ);
  const bytes = new Uint8Array(staging.getMappedRange());
  new Uint8Array(into.buffer, into.byteOffset, into.byteLength).set(bytes.subarray(0, into.byteLength));
  staging.destroy();
  return into;
}
