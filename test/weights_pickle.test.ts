/** Hostile and damaged PyTorch files: each is refused in one line, at once, and nothing in it is run. */
import { describe, expect, test } from '@jest/globals';
import { MemorySource, openCheckpoint } from '../weights/index.js';
import {
  bytesOf,
  messageOf,
  pickled,
  pickledCall,
  pickledDictionary,
  pickledTensor,
  pickleOf,
  torchZip,
  uint32,
  uint64,
  zipOf,
} from './support/weights_files.js';

const open = (bytes: Uint8Array) => openCheckpoint(new MemorySource(bytes, 'x.ckpt'));
/** The data of the first member begins after its local header and its name. */
const PICKLE_AT = 30 + 'model/data.pkl'.length;
const WEIGHT = pickledTensor('0', 4, 0, [2, 2], [2, 1]);
const STORAGE = { 0: new Uint8Array(Float32Array.of(1, 2, 3, 4).buffer) };

async function refusal(pickle: Uint8Array, storages: Record<string, Uint8Array> = STORAGE): Promise<string> {
  const started = performance.now();
  const message = await messageOf(() => open(torchZip(pickle, storages)));
  expect(performance.now() - started).toBeLessThan(5000);
  expect(message).toMatch(/^x\.ckpt: [^\n]*$/);
  expect(message.length).toBeLessThan(600);
  return message;
}

describe('what a pickle may not name', () => {
  test.each([
    ['GLOBAL', 'os.system', bytesOf('cos\nsystem\n', pickled(['rm -rf /']), 'R'), 0],
    ['GLOBAL', 'builtins.eval', pickledCall('builtins', 'eval', 'print(1)'), 0],
    ['GLOBAL', '__builtin__.__import__', pickledCall('__builtin__', '__import__', 'os'), 0],
    ['GLOBAL', 'subprocess.Popen', bytesOf('csubprocess\nPopen\n', pickled(['sh']), 0x81), 0],
    ['GLOBAL', 'torch.storage._load_from_bytes', bytesOf('ctorch.storage\n_load_from_bytes\n'), 0],
    ['GLOBAL', '__torch__.Model.Forward', bytesOf('c__torch__.Model\nForward\n'), 0],
    ['GLOBAL', 'constructor.prototype', bytesOf('cconstructor\nprototype\n'), 0],
    ['GLOBAL', '__proto__.toString', bytesOf('c__proto__\ntoString\n'), 0],
    ['STACK_GLOBAL', 'posix.system', bytesOf(pickled('posix'), pickled('system'), 0x93), 23],
  ])('%s of %s', async (opcode, name, opcodes, offset) => {
    const position = PICKLE_AT + 2 + (offset === 0 ? 0 : offset - 2);
    const message = await refusal(pickleOf(opcodes));
    expect(message).toMatch(new RegExp(`^x\\.ckpt: pickle opcode ${opcode} at byte \\d+ names `));
    expect(message).toContain(`names ${name}, which is not allowed`);
    if (opcode === 'GLOBAL') expect(message).toContain(`at byte ${position} `);
  });

  test('a chain of getattr reaches nothing', async () => {
    const chain = pickledCall(
      'builtins',
      'getattr',
      pickledCall('builtins', 'getattr', 'x', '__class__'),
      'mro',
    );
    // Its value is inert, so that calling it is refused.
    expect(await refusal(pickleOf(chain, pickled([]), 'R'))).toContain('pickle opcode REDUCE at byte');
    // As data it is harmless.
    const checkpoint = await open(
      torchZip(pickleOf(pickledDictionary({ w: WEIGHT, callback: chain })), STORAGE),
    );
    expect([...checkpoint.tensors.keys()]).toEqual(['w']);
  });

  test.each([
    ['INST', bytesOf('(', pickled('rm'), 'ios\nsystem\n')],
    ['OBJ', bytesOf('(', pickled('x'), pickled('rm'), 'o')],
    ['DICT', bytesOf('(', pickled('a'), pickled(1), 'd')],
    ['EXT1', bytesOf(0x82, 1)],
    ['EXT4', bytesOf(0x84, uint32(1))],
    ['NEXT_BUFFER', bytesOf(0x97)],
    ['PERSID', bytesOf('Pid\n')],
    ['NEWOBJ_EX', bytesOf(0x92)],
    ['0xff', bytesOf(0xff)],
  ])('the opcode %s', async (opcode, opcodes) => {
    expect(await refusal(pickleOf(opcodes))).toMatch(
      new RegExp(`pickle opcode ${opcode} at byte \\d+ is not used by checkpoints and is refused`),
    );
  });

  test('keys like __proto__ change no prototype', async () => {
    const nasty = pickledDictionary({ polluted: 'yes' });
    const object = bytesOf(
      'cargparse\nNamespace\n',
      pickled([]),
      0x81,
      pickledDictionary({ __proto__: nasty }),
      'b',
    );
    const list = bytesOf(']', pickledDictionary({ __proto__: nasty, length: 1 }), 'b');
    const hyper = pickledDictionary({ ['__proto__']: nasty, object, list });
    const root = pickledDictionary({ state_dict: pickledDictionary({ w: WEIGHT }), hyper_parameters: hyper });
    const checkpoint = await open(torchZip(pickleOf(root), STORAGE));
    expect(Object.keys(checkpoint.configuration)).toEqual(['__proto__', 'object', 'list']);
    expect(({} as Record<string, unknown>).polluted).toBeUndefined();
    expect(([] as unknown as Record<string, unknown>).polluted).toBeUndefined();
  });
});

describe('work and memory are bounded', () => {
  test.each([
    ['BINUNICODE8 of 2^60 bytes', bytesOf(0x8d, uint64(2n ** 60n)), 'BINUNICODE8'],
    ['BINBYTES8 of 2^64 - 1 bytes', bytesOf(0x8e, uint64(2n ** 64n - 1n)), 'BINBYTES8'],
    ['BINBYTES of -20 bytes', bytesOf(pickled('x'.repeat(40)), 'B', uint32(0xffffffff - 19)), 'BINBYTES'],
    ['BINUNICODE of 4 GB', bytesOf('X', uint32(0xffffffff)), 'BINUNICODE'],
    ['LONG4 of 4 GB', bytesOf(0x8b, uint32(0xffffffff)), 'LONG4'],
    ['LONG4 of a megabyte', bytesOf(0x8b, uint32(1 << 20), new Uint8Array(1 << 20)), 'LONG4'],
    ['FRAME of 2^40 bytes', bytesOf(0x95, uint64(2n ** 40n)).subarray(0, 5), 'FRAME'],
    ['GLOBAL without an end', bytesOf('c', 'x'.repeat(100_000)), 'GLOBAL'],
    ['a pickle without STOP', bytesOf('N'), ''],
    ['three million opcodes', Buffer.alloc(3_000_000, 'N'), 'NONE'],
    ['three million nested marks', Buffer.alloc(3_000_000, '('), 'MARK'],
    ['a stack that is empty', bytesOf('R'), 'REDUCE'],
    ['a mark that is missing', bytesOf('t'), 'TUPLE'],
    ['items set on a number', bytesOf(pickled(1), '(', pickled('a'), pickled(1), 'u'), 'SETITEMS'],
    ['items appended to text', bytesOf(pickled('a'), '(', pickled('a'), 'e'), 'APPENDS'],
    ['a call of text', bytesOf(pickled('a'), pickled([]), 'R'), 'REDUCE'],
    ['an object of a storage id', bytesOf(pickled(['storage', 'x', '0', 'cpu', 4]), 'Q'), 'BINPERSID'],
    ['a memo entry that is not there', bytesOf('j', uint32(9), pickled([]), 'R'), 'REDUCE'],
  ])('%s', async (what, opcodes, opcode) => {
    const pickle = what.includes('STOP') ? bytesOf(0x80, 2, opcodes) : pickleOf(opcodes);
    const message = await refusal(pickle);
    expect(message).toContain(`pickle opcode ${opcode}`);
  });

  const many = (count: number, opcodes: Uint8Array): Uint8Array =>
    Buffer.concat(Array.from({ length: count }, () => opcodes));
  const wide = bytesOf('(', many(100_000, bytesOf('N')), 't');
  /** `once` makes a value under memo 0, which `again` then uses as often as opcodes allow. */
  const shared = (once: Uint8Array, again: Uint8Array) =>
    pickleOf(once, 'q', 0, '0', many(200_000, again), ')');
  const named = (name: string) => bytesOf(`c${name.replace(' ', '\n')}\n`);

  test.each([
    ['arguments', shared(wide, bytesOf(named('argparse Namespace'), 'h', 0, 'R0'))],
    ['arguments of new objects', shared(wide, bytesOf(named('torch.optim.adamw AdamW'), 'h', 0, 0x81, '0'))],
    ['lists', shared(wide, bytesOf(named('torch Size'), 'h', 0, 0x85, 'R'))],
    ['dictionaries', shared(wide, bytesOf(named('collections OrderedDict'), 'h', 0, 0x85, 'R'))],
    [
      'states',
      shared(
        bytesOf('}(', ...Array.from({ length: 50_000 }, (_, i) => bytesOf(pickled(i), 'N')), 'u'),
        bytesOf(')h', 0, 'b'),
      ),
    ],
    [
      'text to encode',
      shared(
        pickled('x'.repeat(1 << 20)),
        bytesOf(named('_codecs encode'), 'h', 0, pickled('latin1'), 0x86, 'R'),
      ),
    ],
    ['devices', shared(wide, bytesOf(named('torch device'), 'h', 0, 0x85, 'R'))],
  ])('large %s that are shared two hundred thousand times', async (_what, pickle) => {
    await refusal(pickle);
  });

  test.each(['collections OrderedDict', '__builtin__ set'])(
    'a list of 1,000 items that 200,000 calls of %s copy',
    async (name) => {
      const pairs = bytesOf(
        '](',
        ...Array.from({ length: 1000 }, (_, i) => bytesOf(pickled(i), 'N', 0x86)),
        'e',
      );
      const calls = many(200_000, bytesOf('h', 1, 'h', 0, 'R'));
      const pickle = pickleOf(pairs, 0x85, 'q', 0, '0', named(name), 'q', 1, calls);
      expect(await refusal(pickle)).toMatch(
        /opcode REDUCE at byte \d+ copies more than 100000 items in all$/,
      );
    },
  );

  test('a path of 100,000 parts in 100,000 places', async () => {
    const parts = bytesOf(named('pathlib PosixPath'), '(', many(100_000, bytesOf('N')), 'tR', 'q', 0);
    const root = pickledDictionary({
      state_dict: pickledDictionary({ w: WEIGHT }),
      hyper_parameters: pickledDictionary({
        a: parts,
        b: bytesOf('](', many(100_000, bytesOf('h', 0)), 'e'),
      }),
    });
    expect(await refusal(pickleOf(root))).toContain('hyper_parameters expands to more than 200000 values');
  });

  test('keys and names that would grow without end as text', async () => {
    const doubled = bytesOf(
      ']',
      ...Array.from({ length: 60 }, (_, i) => bytesOf('q', i, '0](h', i, 'h', i, 'e')),
    );
    expect(await refusal(pickleOf('}', doubled, 'Ns'))).toContain('holds no tensors');
    const path = bytesOf(named('pathlib PosixPath'), '(', many(1000, bytesOf(doubled)), 'tR');
    const root = {
      state_dict: pickledDictionary({ w: WEIGHT }),
      hyper_parameters: pickledDictionary({ path }),
    };
    const checkpoint = await open(torchZip(pickleOf(pickledDictionary(root)), STORAGE));
    expect(checkpoint.configuration.path).toBe('');
  });

  test('100,000 nested lists', async () => {
    const deep = bytesOf(']'.repeat(100_000), 'a'.repeat(99_999));
    const root = pickledDictionary({
      state_dict: pickledDictionary({ w: WEIGHT }),
      hyper_parameters: pickledDictionary({ deep }),
    });
    expect(await refusal(pickleOf(root))).toContain('hyper_parameters is nested more than 64 deep');
  });

  test('shared lists that double 60 times', async () => {
    const doubled = bytesOf(
      ']',
      ...Array.from({ length: 60 }, (_, i) => bytesOf('q', i, '0](h', i, 'h', i, 'e')),
    );
    const root = pickledDictionary({
      state_dict: pickledDictionary({ w: WEIGHT }),
      hyper_parameters: pickledDictionary({ bomb: doubled }),
    });
    expect(await refusal(pickleOf(root))).toMatch(/hyper_parameters (expands to more than|is nested more)/);
  });

  test('wide lists shared so that they multiply', async () => {
    const layer = (i: number) =>
      bytesOf('q', i, '0](', ...Array.from({ length: 100 }, () => bytesOf('h', i)), 'e');
    const bomb = bytesOf(']', ...Array.from({ length: 10 }, (_, i) => layer(i)));
    const root = pickledDictionary({
      state_dict: pickledDictionary({ w: WEIGHT }),
      hyper_parameters: pickledDictionary({ bomb }),
    });
    expect(await refusal(pickleOf(root))).toContain('hyper_parameters expands to more than 200000 values');
  });

  const torchScript = (pickle: Uint8Array) =>
    zipOf([
      { name: 'm/data.pkl', data: pickle },
      { name: 'm/constants.pkl', data: pickleOf(')') },
      { name: 'm/data/0', data: STORAGE[0] },
    ]);
  const module = (memo: number, attributes: Uint8Array, className = 'a\nB') =>
    bytesOf(`c__torch__.${className}\n`, pickled([]), 0x81, 'q', memo, attributes, 'b');

  test('TorchScript modules that contain themselves', async () => {
    const pickle = pickleOf(module(0, pickledDictionary({ w: WEIGHT, self: bytesOf('h', 0) })));
    expect(await messageOf(() => open(torchScript(pickle)))).toContain(
      'nests its modules too deeply at self.self.self.',
    );
  });

  test('TorchScript modules shared so that their tensors multiply', async () => {
    const times = (count: number, name: string, memo: number) =>
      pickledDictionary(
        Object.fromEntries(Array.from({ length: count }, (_, i) => [`${name}${i}`, bytesOf('h', memo)])),
      );
    const pickle = pickleOf(
      ...[WEIGHT, 'q', 0, '0', module(1, times(1000, 'tensor', 0)), '0'],
      ...[module(2, times(300, 'inner', 1)), '0', module(3, times(300, 'outer', 2))],
    );
    const started = performance.now();
    expect(await messageOf(() => open(torchScript(pickle)))).toBe(
      'x.ckpt: has more than 100000 attributes in its modules',
    );
    expect(performance.now() - started).toBeLessThan(5000);
  });

  test('a long class name that is used again and again', async () => {
    const pickle = pickleOf(module(0, pickledDictionary({ w: WEIGHT }), `a\n${'B'.repeat(100_000)}`));
    expect(await messageOf(() => open(torchScript(pickle)))).toContain('names a global too long to be one');
  });
});

describe('tensors and storages', () => {
  const state = (tensor: Uint8Array) => pickleOf(pickledDictionary({ w: tensor }));
  test.each([
    [
      'beyond its storage',
      pickledTensor('0', 4, 1, [2, 2], [2, 1]),
      'w is [2,2] with strides [2,1] at 1, beyond its storage of 4 elements',
    ],
    ['of 2^62 elements', pickledTensor('0', 4, 0, [2 ** 31 - 1, 2 ** 31 - 1], [0, 0]), 'beyond its storage'],
    [
      'that repeats its storage',
      pickledTensor('0', 4, 0, [1 << 30], [0]),
      'repeats its storage of 4 elements',
    ],
    [
      'whose storage is shorter than claimed',
      pickledTensor('0', 5, 0, [5], [1]),
      'model/data/0 has 16 bytes, but 20 are needed',
    ],
    ['whose storage is missing', pickledTensor('7', 4, 0, [4], [1]), 'has no member model/data/7'],
    [
      'whose storage is named like a path',
      pickledTensor('../0', 4, 0, [4], [1]),
      'has no member "model/data/../0"'.replaceAll('"', ''),
    ],
    [
      'of a storage class that is none',
      pickledTensor('0', 4, 0, [4], [1], 'Size'),
      'refers to no valid storage',
    ],
    [
      'with as many strides as another',
      pickledTensor('0', 4, 0, [4], [1, 1]),
      'no valid offset, shape and strides',
    ],
    ['with a negative shape', pickledTensor('0', 4, 0, [-1], [1]), 'no valid offset, shape and strides'],
  ])('a tensor %s', async (_what, tensor, problem) => {
    expect(await refusal(state(tensor))).toContain(problem);
  });

  test('one storage of two kinds', async () => {
    const half = pickledTensor('0', 4, 0, [4], [1], 'HalfStorage');
    const pickle = pickleOf(pickledDictionary({ a: WEIGHT, b: half }));
    expect(await refusal(pickle)).toContain('refers to one storage as 4 f32 and 4 f16');
  });

  test('a pickle without tensors, and one that is no dictionary', async () => {
    expect(await refusal(pickleOf(pickledDictionary({ epoch: 3 })))).toContain('its keys are epoch');
    expect(await refusal(pickleOf(pickled([1, 2])))).toContain('holds no dictionary of tensors');
  });
});

describe('zip archives', () => {
  const pickle = pickleOf(pickledDictionary({ w: WEIGHT }));
  const storage = { name: 'model/data/0', data: STORAGE[0] };

  test('an archive of ours is read, so that the refusals below are for their reasons', async () => {
    const checkpoint = await open(torchZip(pickle, STORAGE));
    expect(await checkpoint.readF32('w')).toEqual(Float32Array.of(1, 2, 3, 4));
  });

  test('bombs: a compressed pickle or tensor is never expanded', async () => {
    const bomb = new Uint8Array(64 << 20);
    const compressed = zipOf([{ name: 'model/data.pkl', data: bomb, deflate: true }, storage]);
    expect(compressed.length).toBeLessThan(100_000);
    expect(await messageOf(() => open(compressed))).toContain(
      'member model/data.pkl is compressed or encrypted',
    );
    const tensor = zipOf([
      { name: 'model/data.pkl', data: pickle },
      { ...storage, data: bomb, deflate: true },
    ]);
    expect(await messageOf(() => open(tensor))).toContain('member model/data/0 is compressed or encrypted');
  });

  test('compressed members that are not read do not matter: TorchScript compresses its code', async () => {
    const code = { name: 'model/code/a.py', data: new Uint8Array(1000), deflate: true };
    const checkpoint = await open(zipOf([{ name: 'model/data.pkl', data: pickle }, storage, code]));
    expect(checkpoint.tensors.size).toBe(1);
  });

  test('two members of one name', async () => {
    const twice = zipOf([{ name: 'model/data.pkl', data: pickle }, storage, storage]);
    expect(await messageOf(() => open(twice))).toBe('x.ckpt: has two members named model/data/0');
  });

  test('members that share bytes', async () => {
    const archive = zipOf([
      { name: 'model/data.pkl', data: pickle },
      storage,
      { ...storage, name: 'model/data/1' },
    ]);
    const second = Buffer.from(archive).lastIndexOf('model/data/1') - 4;
    const first = Buffer.from(archive).lastIndexOf('model/data/0') - 4;
    Buffer.from(archive.buffer, archive.byteOffset).copyWithin(second, first, first + 4);
    expect(await messageOf(() => open(archive))).toContain('share bytes');
  });

  test('other zip archives', async () => {
    const document = zipOf([{ name: 'word/document.xml', data: pickle }]);
    expect(await messageOf(() => open(document))).toBe(
      'x.ckpt: is a zip archive without data.pkl, so not of PyTorch',
    );
    const outside = zipOf([{ name: '../data.pkl', data: pickle }]);
    expect(await messageOf(() => open(outside))).toMatch(
      /^x\.ckpt: is no readable zip archive: invalid relative path/,
    );
    expect(await messageOf(() => open(torchZip(pickle, STORAGE).subarray(0, 200)))).toMatch(
      /^x\.ckpt: is no readable zip/,
    );
  });

  test('big-endian files', async () => {
    const order = { name: 'model/byteorder', data: new TextEncoder().encode('big') };
    const archive = zipOf([{ name: 'model/data.pkl', data: pickle }, storage, order]);
    expect(await messageOf(() => open(archive))).toContain('big-endian');
  });
});

describe('the legacy format', () => {
  const MAGIC = pickleOf(0x8a, 10, Buffer.from('6cfc9c46f9206aa85019', 'hex'));
  const PROTOCOL = pickleOf('M', 0xe9, 3);
  const SYSTEM = pickleOf(pickledDictionary({ little_endian: bytesOf(0x88) }));
  const STATE = pickleOf(pickledDictionary({ w: WEIGHT }));
  const KEYS = pickleOf('](', pickled('0'), 'e');
  const legacy = (...rest: Uint8Array[]) => bytesOf(MAGIC, ...rest);

  test('a file of ours is read', async () => {
    const checkpoint = await open(legacy(PROTOCOL, SYSTEM, STATE, KEYS, uint64(4n), STORAGE[0]));
    expect(checkpoint.format).toBe('pytorch-legacy');
    expect(await checkpoint.readF32('w')).toEqual(Float32Array.of(1, 2, 3, 4));
  });

  test.each([
    [
      'another protocol',
      legacy(pickleOf('M', 1, 0), SYSTEM, STATE),
      "is of PyTorch's protocol 1, expected 1001",
    ],
    [
      'big-endian',
      legacy(PROTOCOL, pickleOf(pickledDictionary({ little_endian: bytesOf(0x89) }))),
      'big-endian',
    ],
    ['nothing after the magic number', legacy(), 'before the pickle ends'],
    ['no keys', legacy(PROTOCOL, SYSTEM, STATE, pickleOf('N')), 'has no list of storage keys'],
    [
      'a key that no tensor uses',
      legacy(PROTOCOL, SYSTEM, STATE, pickleOf('](', pickled('9'), 'e')),
      'lists the storage 9',
    ],
    [
      'a key twice',
      legacy(
        PROTOCOL,
        SYSTEM,
        STATE,
        pickleOf('](', pickled('0'), pickled('0'), 'e'),
        uint64(4n),
        STORAGE[0],
      ),
      'lists the storage 0',
    ],
    ['a storage that is not listed', legacy(PROTOCOL, SYSTEM, STATE, pickleOf(']')), 'has no storage 0'],
    ['another element count', legacy(PROTOCOL, SYSTEM, STATE, KEYS, uint64(5n), STORAGE[0]), 'at byte'],
    [
      'a negative element count',
      legacy(PROTOCOL, SYSTEM, STATE, KEYS, uint64(2n ** 64n - 1n)),
      'has -1 elements, expected 4',
    ],
    [
      'a storage cut short',
      legacy(PROTOCOL, SYSTEM, STATE, KEYS, uint64(4n), STORAGE[0].subarray(1)),
      'truncated or damaged',
    ],
    [
      'os.system',
      legacy(PROTOCOL, SYSTEM, pickleOf(pickledCall('os', 'system', 'rm'))),
      'names os.system, which is not allowed',
    ],
  ])('%s', async (_what, bytes, problem) => {
    const message = await messageOf(() => open(bytes));
    expect(message).toMatch(/^x\.ckpt: [^\n]*$/);
    expect(message).toContain(problem);
  });
});

describe('hyper-parameters of the kinds that training frameworks write', () => {
  test('namespaces, OmegaConf, NumPy scalars, paths, sets and ordered dictionaries', async () => {
    const object = (module: string, name: string, state: Uint8Array, args: unknown[] = []) =>
      bytesOf(`c${module}\n${name}\n`, pickled(args), 0x81, state, 'b');
    const node = (value: unknown) =>
      object('omegaconf.nodes', 'AnyNode', pickledDictionary({ _val: value, _parent: null }));
    const double = Buffer.alloc(8);
    double.writeDoubleLE(0.25);
    const dtype = pickledCall('numpy', 'dtype', 'f8', 0, 1);
    const encoded = pickledCall('_codecs', 'encode', double.toString('latin1'), 'latin1');
    const hyper = pickledDictionary({
      namespace: object('argparse', 'Namespace', pickledDictionary({ lr: 3 })),
      omega: object(
        'omegaconf.dictconfig',
        'DictConfig',
        pickledDictionary({ _content: pickledDictionary({ a: node(5) }) }),
      ),
      scalar: pickledCall('numpy.core.multiarray', 'scalar', dtype, encoded),
      path: pickledCall('pathlib', 'PosixPath', '/', 'home', 'clip.pt'),
      set: pickledCall('builtins', 'set', bytesOf('](', pickled('a'), 'e')),
      ordered: pickledCall('collections', 'OrderedDict', bytesOf('](', pickled(['k', 1]), 'e')),
      size: pickledCall('torch', 'Size', [32, 128]),
      attribute: bytesOf(
        'clightning_fabric.utilities.data\nAttributeDict\n',
        pickled([]),
        0x81,
        '(',
        pickled('n'),
        pickled(2),
        'u',
      ),
      big: bytesOf(0x8a, 5, 0, 0, 0, 0, 0xff),
      tensor: WEIGHT,
    });
    const root = pickledDictionary({ state_dict: pickledDictionary({ w: WEIGHT }), hyper_parameters: hyper });
    const checkpoint = await open(torchZip(pickleOf(root), STORAGE));
    expect(checkpoint.configuration).toEqual({
      namespace: { lr: 3 },
      omega: { a: 5 },
      scalar: 0.25,
      path: '/home/clip.pt',
      set: ['a'],
      ordered: { k: 1 },
      size: [32, 128],
      attribute: { n: 2 },
      big: -(2 ** 32),
      tensor: undefined,
    });
  });
});
