/** A stand-in for a Python with PyTorch: a Node script that speaks its protocol, run in place of the interpreter. */
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

const protocol = `#!${process.execPath}
const sizeOf = ({ shape }) => shape.reduce((product, size) => product * size, 1);
const send = (message, tensors = []) => {
  const listed = tensors.map(({ name, shape, type = 'f32' }) => ({ name, shape, type }));
  process.stdout.write(JSON.stringify({ ...message, tensors: listed }) + '\\n');
  for (const { values } of tensors) process.stdout.write(Buffer.from(values));
};
const greet = () => send({ name: 'PyTorch (fake)', version: '9.9', device: 'cpu' });
let held = Buffer.alloc(0);
process.stdin.on('data', (piece) => {
  held = Buffer.concat([held, piece]);
  for (;;) {
    const end = held.indexOf(10);
    if (end < 0) return;
    const message = JSON.parse(held.subarray(0, end));
    const total = message.tensors.reduce((sum, tensor) => sum + 4 * sizeOf(tensor), 0);
    if (held.length < end + 1 + total) return;
    let at = end + 1;
    const tensors = message.tensors.map((tensor) => {
      const values = held.subarray(at, (at += 4 * sizeOf(tensor)));
      return { ...tensor, values };
    });
    held = held.subarray(at);
    answer(message, tensors);
  }
});
process.stdin.on('end', () => process.exit());
`;

/** A twin that does every piece of work by giving its inputs back, in a time that it makes up: 2 ms each. */
export const echoing = `
let given = [];
function answer({ op, times }, tensors) {
  if (op === 'prepare') given = tensors;
  if (op === 'results') send({}, [{ ...given[0], name: 'result' }]);
  else send({ note: 'made up', milliseconds: 2 * times });
}
greet();
`;

/**
 * Writes such a program.
 * @param body what it does: \`answer(message, tensors)\`, and when it greets
 * @returns its path
 */
export async function fakePython(folder: string, body: string): Promise<string> {
  const path = join(folder, 'python');
  await writeFile(path, protocol + body, { mode: 0o755 });
  return path;
}
