/**
 * Reading pickles with `pickleparser`. The package decodes the opcodes and keeps stack and memo, but it trusts its
 * input: it bounds no work, walks backwards on negative lengths, needs quadratic time for long integers, copies
 * arguments and states that a hostile pickle can share a million times, and reports neither opcode nor offset. The
 * reader below, which it takes its bytes from, adds what is missing, and routes every construction of an object to
 * `pickle_globals`: nothing that can be called ever lies on the parser's stack.
 */
import { BufferReader, Parser } from 'pickleparser';
import { CheckpointError } from './errors.js';
import {
  buildState,
  callGlobal,
  CopyBudget,
  PickleRefusal,
  resolveGlobal,
  resolveStorage,
} from './pickle_globals.js';
import type { PickledStorage } from './pickle_values.js';

/** A pickle of a checkpoint holds names and shapes, no weights; those of real models take less than 1 MB. */
export const LARGEST_PICKLE_BYTES = 32 << 20;
const MOST_OPCODES = 1_000_000;
/** Longest integer in bytes; PyTorch's own magic number has 10. */
const LONGEST_INTEGER = 64;

const FLOAT = 0x46;
const BINPERSID = 0x51;
const REDUCE = 0x52;
const BUILD = 0x62;
const NEWOBJ = 0x81;
const TUPLE2 = 0x86;
const LONG1 = 0x8a;
const LONG4 = 0x8b;

/**
 * Opcodes that Python's pickler writes for a checkpoint in protocols 2 to 5. The rest are those of protocols 0 and 1,
 * extension codes and out-of-band buffers; hostile pickles use them, and the package gets several of them wrong.
 */
const OPCODES = new Map<number, string>([
  [0x28, 'MARK'],
  [0x2e, 'STOP'],
  [0x30, 'POP'],
  [0x31, 'POP_MARK'],
  [0x32, 'DUP'],
  [0x29, 'EMPTY_TUPLE'],
  [0x42, 'BINBYTES'],
  [0x43, 'SHORT_BINBYTES'],
  [0x47, 'BINFLOAT'],
  [0x49, 'INT'],
  [0x4a, 'BININT'],
  [0x4b, 'BININT1'],
  [0x4d, 'BININT2'],
  [0x4e, 'NONE'],
  [BINPERSID, 'BINPERSID'],
  [REDUCE, 'REDUCE'],
  [0x54, 'BINSTRING'],
  [0x55, 'SHORT_BINSTRING'],
  [0x58, 'BINUNICODE'],
  [0x5d, 'EMPTY_LIST'],
  [0x61, 'APPEND'],
  [BUILD, 'BUILD'],
  [0x63, 'GLOBAL'],
  [0x65, 'APPENDS'],
  [0x68, 'BINGET'],
  [0x6a, 'LONG_BINGET'],
  [0x71, 'BINPUT'],
  [0x72, 'LONG_BINPUT'],
  [0x73, 'SETITEM'],
  [0x74, 'TUPLE'],
  [0x75, 'SETITEMS'],
  [0x7d, 'EMPTY_DICT'],
  [0x80, 'PROTO'],
  [NEWOBJ, 'NEWOBJ'],
  [0x85, 'TUPLE1'],
  [TUPLE2, 'TUPLE2'],
  [0x87, 'TUPLE3'],
  [0x88, 'NEWTRUE'],
  [0x89, 'NEWFALSE'],
  [LONG1, 'LONG1'],
  [LONG4, 'LONG4'],
  [0x8c, 'SHORT_BINUNICODE'],
  [0x8d, 'BINUNICODE8'],
  [0x8e, 'BINBYTES8'],
  [0x8f, 'EMPTY_SET'],
  [0x90, 'ADDITEMS'],
  [0x91, 'FROZENSET'],
  [0x93, 'STACK_GLOBAL'],
  [0x94, 'MEMOIZE'],
  [0x95, 'FRAME'],
]);

/** Names of refused opcodes, for the message. */
const REFUSED_OPCODES = new Map<number, string>([
  [0x46, 'FLOAT'],
  [0x4c, 'LONG'],
  [0x50, 'PERSID'],
  [0x53, 'STRING'],
  [0x56, 'UNICODE'],
  [0x64, 'DICT'],
  [0x67, 'GET'],
  [0x69, 'INST'],
  [0x6c, 'LIST'],
  [0x6f, 'OBJ'],
  [0x70, 'PUT'],
  [0x82, 'EXT1'],
  [0x83, 'EXT2'],
  [0x84, 'EXT4'],
  [0x92, 'NEWOBJ_EX'],
  [0x96, 'BYTEARRAY8'],
  [0x97, 'NEXT_BUFFER'],
  [0x98, 'READONLY_BUFFER'],
]);

/** Gives the parser its bytes, remembers where it is and refuses what it must not see. */
class GuardedReader extends BufferReader {
  /** Of the opcode being executed. */
  opcodeOffset = 0;
  #opcodes = 0;
  #atOpcode = false;
  /** Opcode to execute before the next one of the input. */
  #inserted: number | undefined;
  #integer: string | undefined;

  constructor(private readonly input: Uint8Array) {
    super(input);
  }

  get opcodeName(): string {
    const code = this.input[this.opcodeOffset] ?? 0;
    return OPCODES.get(code) ?? REFUSED_OPCODES.get(code) ?? `0x${code.toString(16).padStart(2, '0')}`;
  }

  /** The parser asks this once before each opcode. */
  override hasNext(): boolean {
    if (this.#inserted !== undefined) return true;
    if (!super.hasNext()) throw new PickleRefusal('is the last one before the pickle ends without STOP');
    this.opcodeOffset = this.position;
    this.#atOpcode = true;
    if (!OPCODES.has(this.input[this.position]!))
      throw new PickleRefusal('is not used by checkpoints and is refused');
    if (++this.#opcodes > MOST_OPCODES) throw new PickleRefusal(`is one of more than ${MOST_OPCODES}`);
    return true;
  }

  override byte(): number {
    const inserted = this.#inserted;
    this.#inserted = undefined;
    if (inserted !== undefined) return inserted;
    const value = super.byte();
    if (!this.#atOpcode) return value;
    this.#atOpcode = false;
    if (value === LONG1 || value === LONG4) {
      // The parser reads long integers as unsigned and at most 64 bits; given as decimal text they come out right.
      this.#integer = signedInteger(this.bytes(value === LONG1 ? super.byte() : this.uint32()) as Uint8Array);
      return FLOAT;
    }
    if (value === REDUCE || value === NEWOBJ || value === BUILD) {
      // Instead of calling, the parser makes a pair of the two operands and has it resolved as a persistent id.
      this.#inserted = BINPERSID;
      return TUPLE2;
    }
    return value;
  }

  override line(): string {
    const integer = this.#integer;
    if (integer === undefined) return super.line();
    this.#integer = undefined;
    return integer;
  }

  override uint64(): number {
    const low = this.uint32();
    return low + this.uint32() * 2 ** 32;
  }

  override skip(bytes: number): void {
    if (bytes < 0 || bytes > this.length - this.position) {
      throw new PickleRefusal(`needs ${bytes} bytes, but the pickle has ${this.length - this.position} left`);
    }
    super.skip(bytes);
  }
}

function signedInteger(bytes: Uint8Array): string {
  if (bytes.length > LONGEST_INTEGER) throw new PickleRefusal(`holds an integer of ${bytes.length} bytes`);
  let value = 0n;
  for (let i = bytes.length - 1; i >= 0; i--) value = (value << 8n) | BigInt(bytes[i]!);
  return BigInt.asIntN(Math.max(1, bytes.length * 8), value).toString();
}

/** Reads the pickles that lie one after the other in `bytes`. */
export class PickleStream {
  readonly #reader: GuardedReader;
  readonly #budget = new CopyBudget();
  #storages: ReadonlyMap<string, PickledStorage> = new Map();

  /**
   * @param fileName for messages
   * @param bytes starting with a pickle
   * @param fileOffset of `bytes`, added to the offsets in messages
   */
  constructor(
    private readonly fileName: string,
    bytes: Uint8Array,
    private readonly fileOffset: number,
  ) {
    this.#reader = new GuardedReader(bytes);
  }

  /** Bytes consumed so far. */
  get position(): number {
    return this.#reader.position;
  }

  /** The storages that the last pickle refers to, by key. */
  get storages(): ReadonlyMap<string, PickledStorage> {
    return this.#storages;
  }

  /**
   * The next pickle's value: dictionaries as Map, lists and tuples as arrays, and the classes of `pickle_values`.
   * @param torchScript whether classes of a TorchScript archive are allowed
   * @throws CheckpointError that names the opcode and its offset when the pickle is malformed or not allowed.
   */
  next(torchScript = false): unknown {
    const storages = new Map<string, PickledStorage>();
    this.#storages = storages;
    const resolvePair = (operand: unknown): unknown => {
      if (this.#reader.opcodeName === 'BINPERSID') return resolveStorage(operand, storages);
      const [target, argument] = operand as [unknown, unknown];
      return this.#reader.opcodeName === 'BUILD'
        ? buildState(target, argument)
        : callGlobal(target, argument, this.#budget);
    };
    const parser = new Parser({
      // The parser's types ask for a function, which it would call for the opcodes that never reach it.
      nameResolver: { resolve: (module, name) => resolveGlobal(module, name, torchScript) as never },
      persistentResolver: { resolve: resolvePair },
      unpicklingTypeOfDictionary: 'Map',
      unpicklingTypeOfSet: 'Set',
    });
    try {
      return parser.read<unknown>(this.#reader);
    } catch (error) {
      const reason =
        error instanceof PickleRefusal
          ? error.message
          : 'does not fit the values before it; the file is damaged';
      const offset = this.fileOffset + this.#reader.opcodeOffset;
      throw new CheckpointError(
        this.fileName,
        `pickle opcode ${this.#reader.opcodeName} at byte ${offset} ${reason}`,
        { cause: error },
      );
    }
  }
}
