/** `bench --scaling`: how the cost of transformer blocks grows with batch, tokens, width and depth. */
import { machineOf } from '../bench/report/machine.js';
import { axisNames } from '../bench/scaling/axes.js';
import { type ScalingAxis, type ScalingReport, measureAxis } from '../bench/scaling/run.js';
import { scalingHead, scalingRows } from '../bench/scaling/table.js';
import { measureEach } from './bench_each.js';
import { type BenchOptions, floatPrecision } from './bench_options.js';
import { EXIT_DONE, type ExitCode, printable } from './errors.js';
import { watchForInterruption } from './interruption.js';
import { requirePrecision, unitUse, withDevice } from './options.js';
import { formatTable, print } from './output.js';
import { packageVersions } from './package.js';

const explanation =
  'Blocks of CLIP with heads 64 wide, the fastest of four samples; training is forward and all gradients.\n' +
  '! marks work that is done at less than three quarters of the speed of the size before.\n';

/** Axes are printed as they come. */
export async function runScalingBench(options: BenchOptions): Promise<ExitCode> {
  const { json, quiet } = options;
  const precision = floatPrecision(options) ?? 'f32';
  const signal = watchForInterruption();
  return withDevice(options.device, unitUse(precision, 'all'), async (device): Promise<ExitCode> => {
    requirePrecision(device, precision);
    if (!json) await print(`${printable(device.adapter.name)}, ${precision}. ${explanation}`);
    const show = (measured: ScalingAxis): Promise<void> => print(axisText(measured));
    const each = { counted: 'sizes', signal, quiet, ...(json ? {} : { show }) };
    const { done: axes, failure } = await measureEach(axisNames, each, (axis, tellPart) =>
      measureAxis(device, axis, precision, tellPart),
    );
    if (json) {
      const machine = machineOf(device, packageVersions());
      const date = new Date().toISOString();
      const report: ScalingReport = { kind: 'scaling', date, machine, precision, axes };
      await print(`${JSON.stringify(report, null, 2)}\n`);
    }
    if (failure) throw failure;
    return EXIT_DONE;
  });
}

function axisText(measured: ScalingAxis): string {
  const { axis, points } = measured;
  const others = Object.entries(points[0]!.sizes).filter(([name]) => name !== axis);
  const rows = [[axis, ...scalingHead], ...scalingRows(measured)];
  return (
    `\nOver ${axis} (${others.map(([name, size]) => `${name} ${size}`).join(', ')})\n` +
    formatTable(
      rows,
      rows[0]!.map((_, column) => column),
    )
  );
}
