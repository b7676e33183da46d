/** Lines of a text file of any size, one in memory at a time. */
import { FileSource } from '../../weights/file_source.js';

const CHUNK_BYTES = 1024 * 1024;
const LINE_FEED = 10;
const CARRIAGE_RETURN = 13;
/** Longer lines are no list of images: they are passed over without being kept. */
export const LONGEST_LINE_BYTES = 64 * 1024;
const utf8 = new TextDecoder('utf-8', { fatal: true });

export interface TextLine {
  /** From 1. */
  readonly number: number;
  /** Without its line end; undefined where `problem` says why. */
  readonly text?: string;
  readonly problem?: string;
}

/**
 * Lines of a UTF-8 file; a byte order mark and carriage returns are no part of them. Empty lines are left out.
 * @throws CheckpointError when the file cannot be read; Error for UTF-16
 */
export async function* textLines(path: string): AsyncGenerator<TextLine, void> {
  const source = await FileSource.open(path);
  try {
    let number = 1;
    let line: Uint8Array[] = [];
    let lineBytes = 0;
    const take = (end: Uint8Array): TextLine | undefined => {
      const result = lineOf(number, [...line, end], lineBytes + end.length);
      number += 1;
      line = [];
      lineBytes = 0;
      return result.text === '' ? undefined : result;
    };
    for (let offset = 0; offset < source.size; offset += CHUNK_BYTES) {
      const chunk = await source.read(offset, Math.min(CHUNK_BYTES, source.size - offset));
      if (offset === 0) refuseUtf16(chunk);
      let start = 0;
      for (let end = chunk.indexOf(LINE_FEED); end >= 0; end = chunk.indexOf(LINE_FEED, start)) {
        const result = take(chunk.subarray(start, end));
        if (result) yield result;
        start = end + 1;
      }
      lineBytes += chunk.length - start;
      if (lineBytes <= LONGEST_LINE_BYTES) line.push(chunk.subarray(start));
      else line = [];
    }
    const last = take(new Uint8Array(0));
    if (last) yield last;
  } finally {
    await source.close();
  }
}

function lineOf(number: number, parts: readonly Uint8Array[], bytes: number): TextLine {
  if (bytes > LONGEST_LINE_BYTES) {
    return { number, problem: `the line has more than ${LONGEST_LINE_BYTES} bytes` };
  }
  const joined = Buffer.concat(parts);
  const end = joined.at(-1) === CARRIAGE_RETURN ? joined.length - 1 : joined.length;
  try {
    return { number, text: utf8.decode(joined.subarray(0, end)) };
  } catch {
    return { number, problem: 'the line is not UTF-8' };
  }
}

function refuseUtf16(start: Uint8Array): void {
  const mark = (start[0] ?? 0) * 256 + (start[1] ?? 0);
  if (mark === 0xfffe || mark === 0xfeff) throw new Error('is UTF-16 text; save it as UTF-8');
}
