import { mkdtempSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { crc32c } from '../train/logs/crc32c.js';
import { TensorBoardLog } from '../train/logs/tensorboard.js';
import { stepEvent, validationEvent } from './support/training_events.js';

/** CRC-32C by long division in GF(2), most significant bit first, bits of each byte and of the result reversed. */
function crcByDivision(bytes: Uint8Array): number {
  const reversed = (value: number, bits: number) =>
    Array.from({ length: bits }, (_, bit) => ((value >>> bit) & 1) * 2 ** (bits - 1 - bit)).reduce(
      (sum, part) => sum + part,
      0,
    );
  let remainder = 0xffffffffn;
  for (const byte of bytes) {
    remainder ^= BigInt(reversed(byte, 8)) << 24n;
    for (let bit = 0; bit < 8; bit++) {
      remainder <<= 1n;
      if (remainder >> 32n) remainder ^= 0x11edc6f41n;
    }
  }
  return reversed(Number(remainder ^ 0xffffffffn), 32);
}

/** The data of a TFRecord file's records, lengths and check sums checked. */
function recordsOf(file: Buffer): Buffer[] {
  const records: Buffer[] = [];
  const check = (bytes: Buffer, stored: number) => {
    // The published mask turned round: subtract the constant, rotate back by 15 bits.
    const rotated = (stored - 0xa282ead8) >>> 0;
    expect(((rotated << 15) | (rotated >>> 17)) >>> 0).toBe(crcByDivision(bytes));
  };
  for (let at = 0; at < file.length;) {
    const length = Number(file.readBigUInt64LE(at));
    check(file.subarray(at, at + 8), file.readUInt32LE(at + 8));
    const data = file.subarray(at + 12, at + 12 + length);
    expect(data).toHaveLength(length);
    check(data, file.readUInt32LE(at + 12 + length));
    records.push(data);
    at += 16 + length;
  }
  return records;
}

type FieldValue = bigint | Buffer;

/** The fields of a Protocol Buffers message by number. */
function fieldsOf(message: Buffer): Map<number, FieldValue[]> {
  const fields = new Map<number, FieldValue[]>();
  let at = 0;
  const varint = () => {
    let value = 0n;
    for (let shift = 0n; ; shift += 7n) {
      const byte = message[at++]!;
      value |= BigInt(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  };
  const bytes = (length: number) => {
    expect(at + length).toBeLessThanOrEqual(message.length);
    at += length;
    return message.subarray(at - length, at);
  };
  while (at < message.length) {
    const key = Number(varint());
    const value =
      key % 8 === 0
        ? varint()
        : key % 8 === 1
          ? bytes(8)
          : key % 8 === 2
            ? bytes(Number(varint()))
            : key % 8 === 5
              ? bytes(4)
              : undefined;
    if (value === undefined) throw new Error(`wire type ${key % 8}`);
    fields.set(key >> 3, [...(fields.get(key >> 3) ?? []), value]);
  }
  return fields;
}

const inner = (fields: Map<number, FieldValue[]>, number: number) =>
  fieldsOf(fields.get(number)![0] as Buffer);

/** An event as `event.proto` describes it. */
function eventOf(record: Buffer) {
  const fields = fieldsOf(record);
  const values = fields.has(5) ? (inner(fields, 5).get(1) as Buffer[]).map(fieldsOf) : [];
  return {
    wallTime: (fields.get(1)![0] as Buffer).readDoubleLE(),
    step: fields.get(2)![0],
    version: fields.get(3)?.[0]?.toString(),
    session: fields.has(7) ? inner(fields, 7).get(1) : undefined,
    scalars: new Map(
      values
        .filter((value) => value.has(2))
        .map((value) => [value.get(1)![0]!.toString(), (value.get(2)![0] as Buffer).readFloatLE()]),
    ),
    tensors: values.filter((value) => value.has(8)),
  };
}

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'tensorboard-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const files = () => readdirSync(folder).sort();
const events = (file: string) => recordsOf(readFileSync(join(folder, file))).map(eventOf);

describe('CRC-32C', () => {
  test.each([
    ['32 bytes of zeros', new Uint8Array(32), 0x8a9136aa],
    ['32 bytes of ones', new Uint8Array(32).fill(0xff), 0x62a8ab43],
    ['32 incrementing bytes', Uint8Array.from({ length: 32 }, (_, byte) => byte), 0x46dd794e],
    ['32 decrementing bytes', Uint8Array.from({ length: 32 }, (_, byte) => 31 - byte), 0x113fdb5c],
    ['the digits', Buffer.from('123456789'), 0xe3069283],
    ['nothing', new Uint8Array(), 0],
  ])('%s, as RFC 3720 and the catalogue of check sums give it', (_, bytes, expected) => {
    expect(crc32c(bytes)).toBe(expected);
    expect(crcByDivision(bytes)).toBe(expected);
  });
});

describe('an event file', () => {
  test('begins with its version and holds the scalars of steps and validations', async () => {
    const before = Date.now() / 1000;
    const log = await TensorBoardLog.open(folder);
    await log.step(stepEvent(1));
    await log.step(stepEvent(2, { loss: NaN, gradientNorm: Infinity, crossLoss: undefined, skipped: true }));
    await log.validation(validationEvent(2));
    await log.end();

    expect(files()).toHaveLength(1);
    expect(files()[0]).toMatch(/^events\.out\.tfevents\.\d+\./);
    const [version, first, second, validation, ...rest] = events(files()[0]!);
    expect(rest).toEqual([]);
    expect(version).toMatchObject({ version: 'brain.Event:2', step: 0n });
    expect(version!.wallTime).toBeGreaterThanOrEqual(before);
    expect(version!.wallTime).toBeLessThanOrEqual(Date.now() / 1000);
    expect(first!.step).toBe(1n);
    expect(Object.fromEntries(first!.scalars)).toEqual({
      'loss/total': Math.fround(stepEvent(1).loss),
      'loss/visual': Math.fround(stepEvent(1).visualLoss),
      'loss/cross': Math.fround(stepEvent(1).crossLoss!),
      'optimizer/gradient_norm': Math.fround(stepEvent(1).gradientNorm),
      'optimizer/loss_scale': 1024,
      'optimizer/skipped': 0,
      'learning_rate/group_1': Math.fround(8.4e-5),
      'learning_rate/group_2': Math.fround(8.4e-5),
      'learning_rate/group_3': Math.fround(1.6e-3),
      'speed/images_per_second': 256,
      'speed/wait_percent': 4,
      'speed/tera_flops_per_second': 2,
      'speed/utilisation_percent': 25,
      'memory/live_bytes': 2e9,
      'memory/peak_bytes': Math.fround(3.2e9),
      'progress/epoch': 0,
      'progress/images': 64,
    });
    expect(second!.scalars.get('loss/total')).toBeNaN();
    expect(second!.scalars.get('optimizer/gradient_norm')).toBe(Infinity);
    expect(second!.scalars.has('loss/cross')).toBe(false);
    expect(validation!.step).toBe(2n);
    expect([...validation!.scalars.keys()]).toEqual(
      ['set/IIIT5k', 'set/SVT', 'combined'].flatMap((name) =>
        ['accuracy', 'ned', 'confidence'].map((measure) => `${measure}/${name}`),
      ),
    );
    expect(validation!.scalars.get('accuracy/set/SVT')).toBe(
      Math.fround(validationEvent(2).sets[1]!.accuracy),
    );
  });

  test('holds the configuration as text', async () => {
    const configuration = `seed: 1\nname: "<script>\u{1f600}"\n${'x'.repeat(10_240)}`;
    const log = await TensorBoardLog.open(folder, { configuration });
    await log.end();
    const [, event] = events(files()[0]!);
    const [value] = event!.tensors;
    expect(value!.get(1)![0]!.toString()).toBe('configuration');
    const tensor = inner(value!, 8);
    expect(tensor.get(1)).toEqual([7n]);
    expect(tensor.get(8)!.map(String)).toEqual([`\`\`\`yaml\n${configuration}\n\`\`\``]);
    expect(inner(inner(value!, 9), 1).get(1)!.map(String)).toEqual(['text']);
  });

  test('has curves of their own for the visual branch', async () => {
    const log = await TensorBoardLog.open(folder);
    await log.validation({ ...validationEvent(1), visualOnly: true });
    await log.end();
    const [, results] = events(files()[0]!);
    expect(results!.scalars.has('accuracy/visual_branch/combined')).toBe(true);
    expect(results!.scalars.has('accuracy/combined')).toBe(false);
  });

  test('keeps large steps and strange names', async () => {
    const log = await TensorBoardLog.open(folder);
    await log.step(stepEvent(2 ** 40 + 5));
    const validation = validationEvent(1);
    const name = `"</script>\n${'é'.repeat(10_240)}`;
    await log.validation({ ...validation, sets: [{ ...validation.combined, name }] });
    await log.end();
    const [, step, results] = events(files()[0]!);
    expect(step!.step).toBe(2n ** 40n + 5n);
    expect(results!.scalars.has(`accuracy/set/${name}`)).toBe(true);
  });

  test('of a resumed run is another one that makes later steps void', async () => {
    const first = await TensorBoardLog.open(folder);
    await first.step(stepEvent(7));
    await first.end();
    const [earlier] = files();
    const content = readFileSync(join(folder, earlier!));
    const second = await TensorBoardLog.open(folder, { resumedFrom: 5 });
    await second.step(stepEvent(6));
    await second.step(stepEvent(7));
    await second.step(stepEvent(6));
    await second.end();
    expect(files()).toHaveLength(2);
    expect(readFileSync(join(folder, earlier!))).toEqual(content);
    const later = files().find((file) => file !== earlier);
    expect(events(later!).map(({ step, session }) => [step, session?.[0]])).toEqual([
      [0n, undefined],
      [6n, 1n],
      [6n, undefined],
      [7n, undefined],
      [6n, 1n],
      [6n, undefined],
    ]);
  });

  test('cannot be where a file is', async () => {
    const path = join(folder, 'taken');
    writeFileSync(path, '');
    await expect(TensorBoardLog.open(path)).rejects.toThrow(/^taken: /);
  });
});
