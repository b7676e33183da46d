/** From the value of a PyTorch pickle to named tensors and configuration. */
import type { CheckpointFormat } from './checkpoint.js';
import type { ByteSource } from './byte_source.js';
import { bytesPerElement, elementCount } from './dtypes.js';
import { CheckpointError, shownName } from './errors.js';
import { PickledObject, PickledTensor, plainValue, type PickledStorage } from './pickle_values.js';
import { elementSpan, isDense, LocatedCheckpoint, type TensorLocation } from './stored_tensors.js';

/** Deepest nesting of modules in a TorchScript archive; CLIP's is 6. */
const DEEPEST_MODULE = 64;
/** Attributes of all modules along all paths; those of CLIP are a few thousand. */
const MOST_ATTRIBUTES = 100_000;
/** Longest path of a tensor in characters. */
const LONGEST_PATH = 512;

/** Finds a storage's first byte, having checked that all of it lies in the file. */
export type LocateStorage = (storage: PickledStorage) => number;

/** Builds the checkpoint of a pickle's value; `locate` says where the container keeps each storage. */
export function checkpointOfPickle(
  source: ByteSource,
  format: CheckpointFormat,
  root: unknown,
  locate: LocateStorage,
): LocatedCheckpoint {
  const tensors = format === 'torchscript' ? moduleTensors(source.name, root) : stateDict(source.name, root);
  const locations = new Map<string, TensorLocation>();
  for (const [name, tensor] of tensors) {
    locations.set(name, locateTensor(source, name, tensor, locate));
  }
  return new LocatedCheckpoint(source.name, format, hyperParameters(source.name, root), locations, [source]);
}

function stateDict(fileName: string, root: unknown): Map<string, PickledTensor> {
  if (!(root instanceof Map)) {
    throw new CheckpointError(fileName, 'holds no dictionary of tensors; save model.state_dict() instead');
  }
  const wrapped = ['state_dict', 'model'].map((key) => root.get(key) as unknown);
  const found = [...wrapped, root]
    .map((candidate) => tensorsIn(candidate))
    .find((tensors) => tensors.size > 0);
  if (!found) {
    throw new CheckpointError(
      fileName,
      'holds no tensors under state_dict, under model or at the top level; its keys are ' +
        [...root.keys()]
          .filter((key) => typeof key === 'string')
          .slice(0, 10)
          .map(shownName)
          .join(', '),
    );
  }
  return found;
}

function tensorsIn(candidate: unknown): Map<string, PickledTensor> {
  const tensors = new Map<string, PickledTensor>();
  if (!(candidate instanceof Map)) return tensors;
  for (const [name, value] of candidate as Map<unknown, unknown>) {
    if (typeof name === 'string' && value instanceof PickledTensor) tensors.set(name, value);
  }
  return tensors;
}

/** Parameters and buffers of a TorchScript module and its submodules, named by their path. */
function moduleTensors(fileName: string, root: unknown): Map<string, PickledTensor> {
  const tensors = new Map<string, PickledTensor>();
  let visited = 0;
  const visit = (module: PickledObject, path: string, depth: number): void => {
    if (depth > DEEPEST_MODULE || path.length > LONGEST_PATH) {
      throw new CheckpointError(fileName, `nests its modules too deeply at ${shownName(path)}`);
    }
    if (!(module.state instanceof Map)) return;
    for (const [attribute, value] of module.state as Map<unknown, unknown>) {
      // A hostile archive may share submodules so that their paths multiply.
      if (++visited > MOST_ATTRIBUTES) {
        throw new CheckpointError(fileName, `has more than ${MOST_ATTRIBUTES} attributes in its modules`);
      }
      if (typeof attribute !== 'string' || attribute.length > LONGEST_PATH) continue;
      const name = path + attribute;
      if (value instanceof PickledTensor) tensors.set(name, value);
      else if (value instanceof PickledObject) visit(value, `${name}.`, depth + 1);
    }
  };
  if (root instanceof PickledObject) visit(root, '', 0);
  if (tensors.size === 0) throw new CheckpointError(fileName, 'is a TorchScript archive without tensors');
  return tensors;
}

function locateTensor(
  source: ByteSource,
  name: string,
  { storage, offset, shape, strides }: PickledTensor,
  locate: LocateStorage,
): TensorLocation {
  const fail = (problem: string): never => {
    throw new CheckpointError(source.name, `${shownName(name)} is [${shape.join(',')}] ${problem}`);
  };
  const count = elementCount(shape);
  const end = offset + elementSpan(shape, strides);
  if (!Number.isSafeInteger(count) || end > storage.elements) {
    fail(
      `with strides [${strides.join(',')}] at ${offset}, beyond its storage of ${storage.elements} elements`,
    );
  }
  if (count > storage.elements) {
    fail(`and repeats its storage of ${storage.elements} elements; save a contiguous tensor instead`);
  }
  return {
    source,
    byteOffset: locate(storage) + offset * bytesPerElement(storage.dtype),
    dtype: storage.dtype,
    shape,
    ...(isDense(shape, strides) ? {} : { strides }),
  };
}

function hyperParameters(fileName: string, root: unknown): Record<string, unknown> {
  const found: unknown = root instanceof Map ? root.get('hyper_parameters') : undefined;
  try {
    const plain = plainValue(found);
    return typeof plain === 'object' && plain !== null && !Array.isArray(plain)
      ? (plain as Record<string, unknown>)
      : {};
  } catch (error) {
    throw new CheckpointError(fileName, `hyper_parameters ${(error as Error).message}`, { cause: error });
  }
}
