/** Fields of Protocol Buffers messages, as bytes: what TensorBoard's events need of the encoding. */

enum WireType {
  Varint = 0,
  Fixed64 = 1,
  LengthDelimited = 2,
  Fixed32 = 5,
}

/** A message: its fields, one after the other. */
export function message(...fields: readonly Uint8Array[]): Uint8Array {
  return Buffer.concat(fields);
}

/** @param value whole, from 0 to 2^53 */
export function varintField(field: number, value: number): Uint8Array {
  return Buffer.from([...tag(field, WireType.Varint), ...varint(value)]);
}

export function doubleField(field: number, value: number): Uint8Array {
  const bytes = Buffer.alloc(8);
  bytes.writeDoubleLE(value);
  return message(tag(field, WireType.Fixed64), bytes);
}

export function floatField(field: number, value: number): Uint8Array {
  const bytes = Buffer.alloc(4);
  bytes.writeFloatLE(value);
  return message(tag(field, WireType.Fixed32), bytes);
}

/** @param content UTF-8 text, bytes, or a message inside this one */
export function bytesField(field: number, content: string | Uint8Array): Uint8Array {
  const bytes = typeof content === 'string' ? Buffer.from(content) : content;
  return message(tag(field, WireType.LengthDelimited), varint(bytes.length), bytes);
}

function tag(field: number, type: WireType): Uint8Array {
  return varint(field * 8 + type);
}

/** Seven bits a byte, the lowest first; the highest bit says that more follow. */
function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) + 0x80);
  bytes.push(rest);
  return Uint8Array.from(bytes);
}
