/**
 * Measures again what tables are made from, all of it or the files whose names have one of some words:
 *
 *     node dist/bench/measurements/measure.js [--device <device>] [--torch <python>] [<word>...]
 *
 * `write.js` makes the tables of them afterwards. On a GPU it is another list, much of it beside PyTorch, in a folder of the
 * adapter's name, of which no table is made. Peers are those that `bench --install-peers` has installed. Ends with 1 where
 * something failed.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openDevice } from '../../engine/index.js';
import { defaultPython } from '../peers/torch_process.js';
import { onGpu, onSoftware } from './commands.js';
import { measureAll, benchReport } from './measure_all.js';

const { values, positionals: words } = parseArgs({
  options: { device: { type: 'string' }, torch: { type: 'string', default: defaultPython } },
  allowPositionals: true,
});
const device = await openDevice(values.device === undefined ? {} : { device: values.device });
const { traits, adapter } = device;
device.close();
const results = fileURLToPath(new URL('../../../bench/results', import.meta.url));
const folder = traits.software ? results : `${results}/${adapter.name.replaceAll(/\W+/g, '_').toLowerCase()}`;
const all = traits.software ? Object.values(onSoftware) : onGpu;
const measurements = all.filter(
  ({ file }) => words.length === 0 || words.some((word) => file.includes(word)),
);
if (measurements.length === 0) {
  console.error(
    `no file has ${words.join(' or ')} in its name; there are ${all.map(({ file }) => file).join(', ')}.`,
  );
}
const done = await measureAll(
  measurements,
  folder,
  (command) =>
    benchReport([
      ...command.flatMap((word) => (word === '--torch' ? [word, values.torch] : [word])),
      ...(values.device === undefined ? [] : ['--device', values.device]),
    ]),
  (line) => console.log(line),
);
process.exitCode = done && measurements.length > 0 ? 0 : 1;
