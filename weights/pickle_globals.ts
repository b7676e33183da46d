/**
 * The names a checkpoint's pickle may refer to. Each stands for a function of ours that builds an inert value; no
 * Python is interpreted and nothing else can be named.
 */
import type { StoredDtype } from './dtypes.js';
import { shownName } from './errors.js';
import { PickledObject, PickledStorage, PickledTensor } from './pickle_values.js';

/** What REDUCE, NEWOBJ and the like call in place of a Python callable. */
export type Builder = (...args: unknown[]) => unknown;

/** A refusal in words for the reader; other errors inside the parser mean a malformed pickle. */
export class PickleRefusal extends Error {}

const STORAGES: Readonly<Record<string, StoredDtype>> = {
  'torch.DoubleStorage': 'f64',
  'torch.FloatStorage': 'f32',
  'torch.HalfStorage': 'f16',
  'torch.BFloat16Storage': 'bf16',
  'torch.LongStorage': 'i64',
  'torch.IntStorage': 'i32',
  'torch.ShortStorage': 'i16',
  'torch.CharStorage': 'i8',
  'torch.ByteStorage': 'u8',
  'torch.BoolStorage': 'bool',
};

const dictionary: Builder = (entries) => {
  const result = new Map<unknown, unknown>();
  if (Array.isArray(entries)) {
    for (const [key, value] of entries as [unknown, unknown][]) result.set(key, value);
  }
  return result;
};
const list: Builder = (items) =>
  Array.isArray(items) || items instanceof Set ? [...(items as unknown[])] : [];
const first: Builder = (value) => value;

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

const tensor: Builder = (storage, offset, shape, strides) => {
  if (!(storage instanceof PickledStorage)) throw new PickleRefusal('builds a tensor without a storage');
  const valid =
    isCount(offset) &&
    Array.isArray(shape) &&
    Array.isArray(strides) &&
    shape.length === strides.length &&
    shape.length <= 64 &&
    [...(shape as unknown[]), ...(strides as unknown[])].every(isCount);
  if (!valid) throw new PickleRefusal('builds a tensor of no valid offset, shape and strides');
  return new PickledTensor(storage, offset, shape as number[], strides as number[]);
};

/** Subclasses of Tensor: the tensor itself is all that is kept. */
const tensorOfType: Builder = (build, _type, args) => {
  if (typeof build !== 'function' || !Array.isArray(args))
    throw new PickleRefusal('builds a tensor of no valid type');
  return (build as Builder)(...(args as unknown[]));
};

/** Text that stands for bytes in protocol 2, one character a byte. */
const encode: Builder = (text, encoding) => {
  if (typeof text !== 'string' || encoding !== 'latin1')
    throw new PickleRefusal('encodes something but latin1 text');
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
};

const numpyScalar: Builder = (dtype, bytes) => {
  if (!(dtype instanceof PickledObject) || !(bytes instanceof Uint8Array)) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (`${String(dtype.args[0])}:${bytes.length}`) {
    case 'f8:8':
      return view.getFloat64(0, true);
    case 'f4:4':
      return view.getFloat32(0, true);
    case 'i8:8':
      return Number(view.getBigInt64(0, true));
    case 'i4:4':
      return view.getInt32(0, true);
    case 'b1:1':
      return view.getUint8(0) !== 0;
    default:
      return null;
  }
};

const FUNCTIONS: Readonly<Record<string, Builder>> = {
  'collections.OrderedDict': dictionary,
  'collections.defaultdict': () => new Map(),
  'collections.Counter': dictionary,
  '__builtin__.dict': dictionary,
  'builtins.dict': dictionary,
  '__builtin__.list': list,
  'builtins.list': list,
  '__builtin__.set': (items) => new Set(list(items) as unknown[]),
  'builtins.set': (items) => new Set(list(items) as unknown[]),
  // Schedulers hold bound methods, which pickle as getattr(object, name). Nothing is looked up: the name is kept.
  '__builtin__.getattr': (_object, name) => new PickledObject('builtins.getattr', [name]),
  'builtins.getattr': (_object, name) => new PickledObject('builtins.getattr', [name]),
  '_codecs.encode': encode,
  'torch._utils._rebuild_tensor': tensor,
  'torch._utils._rebuild_tensor_v2': tensor,
  'torch._utils._rebuild_parameter': first,
  'torch._utils._rebuild_parameter_with_state': first,
  'torch._tensor._rebuild_from_type_v2': tensorOfType,
  'torch.Size': list,
  'torch.device': (...args) => args.join(':'),
  'torch.jit._pickle.build_intlist': list,
  'torch.jit._pickle.build_doublelist': list,
  'torch.jit._pickle.build_boollist': list,
  'torch.jit._pickle.build_tensorlist': list,
  'torch.jit._pickle.restore_type_tag': first,
  'numpy.core.multiarray.scalar': numpyScalar,
  'numpy._core.multiarray.scalar': numpyScalar,
  'pytorch_lightning.utilities.parsing.AttributeDict': dictionary,
  'lightning_fabric.utilities.data.AttributeDict': dictionary,
  'lightning.fabric.utilities.data.AttributeDict': dictionary,
};

/** Classes whose objects are kept as name, arguments and state, and dtypes and the like, which are only named. */
const INERT: readonly RegExp[] = [
  /^argparse\.Namespace$/,
  /^pathlib\.(Pure)?(Posix|Windows)?Path$/,
  /^(__builtin__|builtins)\.(int|float|str|bool|tuple|bytes|object|complex)$/,
  /^typing\.Any$/,
  /^omegaconf\.(dictconfig\.DictConfig|listconfig\.ListConfig|base\.(Container)?Metadata)$/,
  /^omegaconf\.nodes\.(Any|String|Integer|Float|Boolean|Path|Bytes)Node$/,
  /^numpy\.(dtype|ndarray|dtypes\.\w+DType)$/,
  /^numpy\.(_core|core)\.multiarray\._reconstruct$/,
  /^torch\.(Tensor|nn\.parameter\.(Parameter|Buffer))$/,
  /^torch\.(float|double|half|int|long|short|u?int(8|16|32|64)|b?float(16|32|64)|bool|strided|contiguous_format)$/,
  /^torch\.serialization\._get_layout$/,
  /^torch\.optim\.(adamw|adam|sgd)\.(AdamW|Adam|SGD)$/,
  /^torch\.optim\.lr_scheduler\.(OneCycleLR|LambdaLR|StepLR|MultiStepLR|CosineAnnealingLR|ReduceLROnPlateau)$/,
  /^torch\.optim\.(swa_utils\.(SWALR|AveragedModel)|optimizer\._RequiredParameter)$/,
  // Keys of the callbacks' states before Lightning 1.5.
  /^pytorch_lightning\.callbacks\.\w+\.(ModelCheckpoint|EarlyStopping|StochasticWeightAveraging|LearningRateMonitor)$/,
];

/** Modules of a TorchScript archive; its classes live in the archive, so that only their state is of interest. */
const TORCHSCRIPT_CLASS = /^__torch__\.[\w.]+$/;

/** Names allowed in one pickle, each resolved to a fresh function, so that one pickle cannot change another's. */
export class AllowedGlobals {
  /** Every storage referred to so far, by key. */
  readonly storages = new Map<string, PickledStorage>();
  readonly #names = new WeakMap<object, string>();

  constructor(private readonly torchScript: boolean) {}

  /** @throws PickleRefusal for any name that is not on the list. */
  resolve(module: unknown, name: unknown): Builder {
    if (typeof module !== 'string' || typeof name !== 'string') throw new PickleRefusal('names no global');
    const qualified = `${module}.${name}`;
    const builder = this.#find(qualified);
    if (!builder)
      throw new PickleRefusal(
        `names ${shownName(qualified)}, which is not allowed; a file with the state_dict alone needs no such name`,
      );
    // A plain function, because the parser calls it both as a function and as a constructor.
    const standIn = function (...args: unknown[]): unknown {
      return builder(...args);
    };
    this.#names.set(standIn, qualified);
    return standIn;
  }

  /** A persistent id: the tuple ('storage', class, key, device, elements), to which the legacy format adds a view. */
  storage(id: unknown): PickledStorage {
    const [kind, storageClass, key, , elements, view] = Array.isArray(id) ? (id as unknown[]) : [];
    const className = typeof storageClass === 'function' ? (this.#names.get(storageClass) ?? '') : '';
    const dtype = Object.hasOwn(STORAGES, className) ? STORAGES[className] : undefined;
    if (kind !== 'storage' || !dtype || typeof key !== 'string' || !isCount(elements)) {
      throw new PickleRefusal('refers to no valid storage');
    }
    if (view !== undefined && view !== null) {
      throw new PickleRefusal(
        'refers to a view of a storage, as written before PyTorch 0.4; save the file again',
      );
    }
    const known = this.storages.get(key);
    if (known && (known.dtype !== dtype || known.elements !== elements)) {
      throw new PickleRefusal(
        `refers to one storage as ${known.elements} ${known.dtype} and ${elements} ${dtype}`,
      );
    }
    const storage = known ?? new PickledStorage(key, dtype, elements);
    this.storages.set(key, storage);
    return storage;
  }

  #find(qualified: string): Builder | undefined {
    if (Object.hasOwn(FUNCTIONS, qualified)) return FUNCTIONS[qualified];
    const inert =
      Object.hasOwn(STORAGES, qualified) ||
      INERT.some((pattern) => pattern.test(qualified)) ||
      (this.torchScript && TORCHSCRIPT_CLASS.test(qualified));
    return inert ? (...args) => new PickledObject(qualified, args) : undefined;
  }
}
