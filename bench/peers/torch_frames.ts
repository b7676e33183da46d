/**
 * Messages between this program and the PyTorch scripts: a line of JSON, then the bytes of the tensors that it lists,
 * as `torch_pipe.py` describes them.
 */
import { z } from 'zod';

export interface PipedTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array | Uint32Array;
}

/** Longest line that is waited for to end: what is longer is no message. */
const longestLine = 1 << 24;
const shownCharacters = 80;

const header = z.looseObject({
  tensors: z.array(
    z.object({ name: z.string(), shape: z.array(z.int().min(0)), type: z.literal(['f32', 'u32']) }),
  ),
});
type Header = z.infer<typeof header>;

export interface Frame {
  readonly message: Readonly<Record<string, unknown>>;
  readonly tensors: readonly PipedTensor[];
}

/** What came is no message. */
export class FrameError extends Error {
  override name = 'FrameError';
}

/** A message as bytes; those of tensors are views of theirs. */
export function frameBytes(
  message: Readonly<Record<string, unknown>>,
  tensors: readonly (PipedTensor & { readonly storedAs?: string })[],
): Uint8Array[] {
  const listed = tensors.map(({ name, shape, values, storedAs }) => ({
    name,
    shape,
    type: values instanceof Uint32Array ? 'u32' : 'f32',
    ...(storedAs === undefined ? {} : { storedAs }),
  }));
  const line = Buffer.from(`${JSON.stringify({ ...message, tensors: listed })}\n`);
  const views = tensors.map(({ values }) => Buffer.from(values.buffer, values.byteOffset, values.byteLength));
  return [line, ...views];
}

/** Puts messages together from pieces of any size. */
export class FrameReader {
  private line: Buffer[] = [];
  private body:
    { readonly header: Header; readonly bytes: Uint8Array<ArrayBuffer>; filled: number } | undefined;

  constructor(private readonly onFrame: (frame: Frame) => void) {}

  /** @throws FrameError for what is no message; nothing after it can be understood */
  push(piece: Buffer): void {
    for (let rest = piece; rest.length > 0;) rest = this.body ? this.takeBody(rest) : this.takeLine(rest);
  }

  private takeLine(piece: Buffer): Buffer {
    const end = piece.indexOf('\n');
    this.line.push(end < 0 ? piece : piece.subarray(0, end));
    if (end < 0) {
      const length = this.line.reduce((sum, part) => sum + part.length, 0);
      if (length > longestLine) throw notJson(Buffer.concat(this.line));
      return piece.subarray(piece.length);
    }
    const line = Buffer.concat(this.line);
    this.line = [];
    const parsed = parsedHeader(line);
    const bytes = parsed.tensors.reduce((sum, { shape }) => sum + 4 * sizeOf(shape), 0);
    this.body = { header: parsed, bytes: new Uint8Array(bytes), filled: 0 };
    if (bytes === 0) this.finish();
    return piece.subarray(end + 1);
  }

  private takeBody(piece: Buffer): Buffer {
    const body = this.body!;
    const taken = piece.subarray(0, body.bytes.length - body.filled);
    body.bytes.set(taken, body.filled);
    body.filled += taken.length;
    if (body.filled === body.bytes.length) this.finish();
    return piece.subarray(taken.length);
  }

  private finish(): void {
    const {
      header: { tensors, ...message },
      bytes,
    } = this.body!;
    this.body = undefined;
    let at = 0;
    const read = tensors.map(({ name, shape, type }): PipedTensor => {
      const size = sizeOf(shape);
      const values = new (type === 'f32' ? Float32Array : Uint32Array)(bytes.buffer, at, size);
      at += 4 * size;
      return { name, shape, values };
    });
    this.onFrame({ message, tensors: read });
  }
}

function parsedHeader(line: Buffer): Header {
  let content: unknown;
  try {
    content = JSON.parse(line.toString());
  } catch {
    throw notJson(line);
  }
  const parsed = header.safeParse(content);
  if (!parsed.success) throw notJson(line);
  return parsed.data;
}

function notJson(line: Buffer): FrameError {
  const text = line.toString('utf8', 0, shownCharacters);
  return new FrameError(`answered ${JSON.stringify(text)}, where a message with its tensors was expected`);
}

function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, size) => product * size, 1);
}
