/**
 * The names a checkpoint's pickle may refer to. Each stands for a function of ours that builds an inert value; no
 * Python is interpreted and nothing else can be named.
 */
import type { StoredDtype } from './dtypes.js';
import { shownName } from './errors.js';
import { PickledObject, PickledStorage, PickledTensor } from './pickle_values.js';

/** Builds the value that a Python callable would return for the arguments. */
type Builder = (args: readonly unknown[], budget: CopyBudget) => unknown;

/** An allowed Python name; as data it is just that. */
export class PickledGlobal {
  constructor(
    readonly name: string,
    readonly build: Builder,
  ) {}
}

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

/** Longest name of a global; one pickle may use a long one again and again. */
const LONGEST_NAME = 512;
/** Items that all dictionaries and sets of one file may copy; they can be shared, so that copies multiply. */
const MOST_COPIED = 100_000;
/** Characters that may be encoded: enough for the numbers of NumPy. */
const LONGEST_ENCODED = 64;
const MOST_DIMENSIONS = 64;

/** What the calls of one file may still copy. */
export class CopyBudget {
  #left = MOST_COPIED;

  /** The items to copy. */
  take(container: unknown): readonly unknown[] {
    if (!Array.isArray(container)) return [];
    this.#left -= container.length;
    if (this.#left < 0) throw new PickleRefusal(`copies more than ${MOST_COPIED} items in all`);
    return container;
  }
}

const dictionary: Builder = ([pairs], budget) => {
  const result = new Map<unknown, unknown>();
  for (const pair of budget.take(pairs)) {
    if (!Array.isArray(pair) || pair.length !== 2) throw new PickleRefusal('builds a dictionary of no pairs');
    result.set(pair[0], pair[1]);
  }
  return result;
};
const set: Builder = ([members], budget) => new Set(budget.take(members));
/** Also for lists: nothing here changes a list later, so that it need not be copied. */
const first: Builder = ([value]) => value;

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isCounts(value: unknown): value is number[] {
  return Array.isArray(value) && value.length <= MOST_DIMENSIONS && value.every(isCount);
}

const tensor: Builder = ([storage, offset, shape, strides]) => {
  if (!(storage instanceof PickledStorage)) throw new PickleRefusal('builds a tensor without a storage');
  if (!isCount(offset) || !isCounts(shape) || !isCounts(strides) || shape.length !== strides.length) {
    throw new PickleRefusal('builds a tensor of no valid offset, shape and strides');
  }
  return new PickledTensor(storage, offset, shape, strides);
};

/** Subclasses of Tensor: the tensor itself is all that is kept. */
const tensorOfType: Builder = ([build, , args], budget) => {
  if (!(build instanceof PickledGlobal) || build.build !== tensor || !Array.isArray(args)) {
    throw new PickleRefusal('builds a tensor of no valid type');
  }
  return tensor(args, budget);
};

/** Text that stands for bytes in protocol 2, one character a byte. */
const encode: Builder = ([text]) =>
  typeof text === 'string' && text.length <= LONGEST_ENCODED
    ? Uint8Array.from(text, (character) => character.charCodeAt(0))
    : null;

const numpyScalar: Builder = ([dtype, bytes]) => {
  const kind = dtype instanceof PickledObject ? dtype.args[0] : undefined;
  if (typeof kind !== 'string' || !(bytes instanceof Uint8Array)) return null;
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  switch (`${kind}:${bytes.length}`) {
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

/** Schedulers hold bound methods, pickled as getattr(object, name). Nothing is looked up: the name is kept. */
const attribute: Builder = ([, name]) => new PickledObject('builtins.getattr', [name]);

const FUNCTIONS: Readonly<Record<string, Builder>> = {
  'collections.OrderedDict': dictionary,
  'collections.defaultdict': () => new Map(),
  'collections.Counter': dictionary,
  '__builtin__.dict': dictionary,
  'builtins.dict': dictionary,
  '__builtin__.list': first,
  'builtins.list': first,
  '__builtin__.set': set,
  'builtins.set': set,
  '__builtin__.getattr': attribute,
  'builtins.getattr': attribute,
  '_codecs.encode': encode,
  'torch._utils._rebuild_tensor': tensor,
  'torch._utils._rebuild_tensor_v2': tensor,
  'torch._utils._rebuild_parameter': first,
  'torch._utils._rebuild_parameter_with_state': first,
  'torch._tensor._rebuild_from_type_v2': tensorOfType,
  'torch.Size': first,
  'torch.device': first,
  'torch.jit._pickle.build_intlist': first,
  'torch.jit._pickle.build_doublelist': first,
  'torch.jit._pickle.build_boollist': first,
  'torch.jit._pickle.build_tensorlist': first,
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

function builderOf(name: string, torchScript: boolean): Builder | undefined {
  if (Object.hasOwn(FUNCTIONS, name)) return FUNCTIONS[name];
  const inert =
    Object.hasOwn(STORAGES, name) ||
    INERT.some((pattern) => pattern.test(name)) ||
    (torchScript && TORCHSCRIPT_CLASS.test(name));
  return inert ? (args) => new PickledObject(name, args) : undefined;
}

/**
 * The global that a pickle names.
 * @param torchScript whether classes of a TorchScript archive are allowed
 * @throws PickleRefusal for any name that is not on the list.
 */
export function resolveGlobal(module: unknown, name: unknown, torchScript: boolean): PickledGlobal {
  if (typeof module !== 'string' || typeof name !== 'string') throw new PickleRefusal('names no global');
  if (module.length + name.length > LONGEST_NAME)
    throw new PickleRefusal('names a global too long to be one');
  const qualified = `${module}.${name}`;
  const builder = builderOf(qualified, torchScript);
  if (!builder) {
    throw new PickleRefusal(
      `names ${shownName(qualified)}, which is not allowed; a file with the state_dict alone needs no such name`,
    );
  }
  return new PickledGlobal(qualified, builder);
}

/** REDUCE and NEWOBJ: the value of a callable for its arguments. */
export function callGlobal(callable: unknown, args: unknown, budget: CopyBudget): unknown {
  if (!(callable instanceof PickledGlobal)) throw new PickleRefusal('calls what is no global');
  if (!Array.isArray(args)) throw new PickleRefusal(`calls ${callable.name} without a tuple of arguments`);
  return callable.build(args, budget);
}

/** BUILD: gives an object its state. Other values keep nothing of it: it is the metadata of a state dict. */
export function buildState(object: unknown, state: unknown): unknown {
  if (object instanceof PickledObject) object.state = state;
  return object;
}

/**
 * BINPERSID: the tuple ('storage', class, key, device, elements), to which the legacy format adds a view.
 * @param known storages by key, extended by this one
 */
export function resolveStorage(id: unknown, known: Map<string, PickledStorage>): PickledStorage {
  const [kind, type, key, , elements, view] = Array.isArray(id) ? (id as unknown[]) : [];
  const className = type instanceof PickledGlobal ? type.name : '';
  const dtype = Object.hasOwn(STORAGES, className) ? STORAGES[className] : undefined;
  if (kind !== 'storage' || !dtype || typeof key !== 'string' || !isCount(elements)) {
    throw new PickleRefusal('refers to no valid storage');
  }
  if (view !== undefined && view !== null) {
    throw new PickleRefusal(
      'refers to a view of a storage, as written before PyTorch 0.4; save the file again',
    );
  }
  const before = known.get(key);
  if (before && (before.dtype !== dtype || before.elements !== elements)) {
    throw new PickleRefusal(
      `refers to one storage as ${before.elements} ${before.dtype} and ${elements} ${dtype}`,
    );
  }
  const storage = before ?? new PickledStorage(key, dtype, elements);
  known.set(key, storage);
  return storage;
}
