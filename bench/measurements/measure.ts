/**
 * Measures again what `bench/results` holds, all of it or the files whose names have one of some words:
 *
 *     node dist/bench/measurements/measure.js [--device <device>] [--torch <python>] [<word>...]
 *
 * On a GPU it is much of it beside PyTorch, and goes into a folder of the adapter's name. Peers are those that
 * `bench --install-peers` has installed. Ends with 1 where something failed. Afterwards `write.js` makes the tables.
 */
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openDevice } from '../../engine/index.js';
import { onGpu, onSoftware } from './commands.js';
import { measureAll, benchReport } from './measure_all.js';

const { values, positionals: words } = parseArgs({
  options: { device: { type: 'string' }, torch: { type: 'string', default: 'python3' } },
  allowPositionals: true,
});
const device = await openDevice(values.device === undefined ? {} : { device: values.device });
const { traits, adapter } = device;
device.close();
const results = fileURLToPath(new URL('../../../bench/results', import.meta.url));
const folder = traits.software ? results : `${results}/${adapter.name.replaceAll(/\W+/g, '_').toLowerCase()}`;
const measurements = (traits.software ? Object.values(onSoftware) : onGpu).filter(
  ({ file }) => words.length === 0 || words.some((word) => file.includes(word)),
);
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
