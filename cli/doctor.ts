import type { Command } from 'commander';
import { EXIT_DONE, EXIT_NOTHING, printable } from './errors.js';
import { type Examination, examine } from './examination.js';
import { deviceOption } from './options.js';
import { formatBytes, formatTable, print } from './output.js';

const examples = `
Examples:
  clip4str-engine doctor
  clip4str-engine doctor --device software
  clip4str-engine doctor --json > report.json          to go with a report of a fault

Exit code: 0 this machine can read images, 1 it cannot.`;

/** What `doctor` takes and does. */
export function defineDoctor(command: Command): void {
  command
    .description(
      'Check adapters, driver, kernels and the included model, and say what to do about each problem.',
    )
    .addOption(deviceOption())
    .option('--json', 'as JSON')
    .addHelpText('after', examples)
    .action(async ({ device, json }: { device?: string; json?: true }) => {
      const found = await examine(device);
      await print(json ? `${JSON.stringify(found, null, 2)}\n` : examinationText(found));
      process.exitCode = found.usable ? EXIT_DONE : EXIT_NOTHING;
    });
}

function examinationText(found: Examination): string {
  const parts = [
    formatTable([
      ['clip4str-engine', found.version],
      ['system', `${found.system}, Node ${found.node}`],
      [
        'packages',
        Object.entries(found.packages)
          .map(([name, version]) => `${name} ${version ?? 'missing'}`)
          .join(', '),
      ],
    ]),
    ...adapterLines(found),
    ...deviceLines(found),
    ...selfTestLines(found),
    ...modelLines(found),
    problemLines(found),
  ];
  return parts.join('\n');
}

function adapterLines({ adapters }: Examination): string[] {
  if (adapters.length === 0) return [];
  const rows = adapters.map(({ index, name, backend, software }) => [
    `  ${index}: ${printable(name)}`,
    backend,
    software ? 'software' : 'hardware',
  ]);
  return [`adapters\n${formatTable(rows)}`];
}

function deviceLines({ device }: Examination): string[] {
  if (!device) return [];
  const { limits } = device;
  const bytes = (name: string): string => formatBytes(limits[name]!);
  const rows = [
    ['  adapter', `${device.adapter.index}: ${printable(device.adapter.name)}`],
    ['  driver', printable([device.vendor, device.architecture, device.driver].filter(Boolean).join(', '))],
    ['  features', device.features.join(', ')],
    ['  f16', device.f16 ? 'yes' : 'no'],
    ['  subgroups', device.subgroupSize === 0 ? 'of varying size' : `of ${device.subgroupSize}`],
    [
      '  matrix units',
      device.matrixConfigurations === 0 ? 'none' : `${device.matrixConfigurations} configurations`,
    ],
    [
      '  buffers',
      `at most ${bytes('maxBufferSize')}, ${bytes('maxStorageBufferBindingSize')} seen at once, ${limits['maxStorageBuffersPerShaderStage']} a kernel`,
    ],
    [
      '  workgroups',
      `${limits['maxComputeInvocationsPerWorkgroup']} invocations, ${bytes('maxComputeWorkgroupStorageSize')} shared, ` +
        `${limits['maxComputeWorkgroupsPerDimension']} a dimension`,
    ],
  ];
  return [`device\n${formatTable(rows)}`];
}

function selfTestLines({ selfTest }: Examination): string[] {
  if (selfTest.length === 0) return [];
  const rows = selfTest.map(({ operation, dtype, error, passed, milliseconds }) => [
    `  ${operation}`,
    dtype,
    passed ? 'right' : 'WRONG',
    `error ${error.toExponential(1)}`,
    `${milliseconds.toFixed(1)} ms`,
  ]);
  return [`kernels, against double precision\n${formatTable(rows, [4])}`];
}

function modelLines({ model }: Examination): string[] {
  if (!model) return [];
  const { checkpoint, text, confidence, loadMilliseconds, readMilliseconds } = model;
  return [
    `model\n  ${checkpoint}, loaded in ${loadMilliseconds.toFixed(0)} ms, reads the test image as ` +
      `"${printable(text)}" (confidence ${confidence.toFixed(3)}) in ${readMilliseconds.toFixed(0)} ms\n`,
  ];
}

function problemLines({ problems, usable }: Examination): string {
  const lines = problems.map(
    ({ fatal, problem, advice }) =>
      `${fatal ? 'PROBLEM' : 'note'}: ${problem}\n${advice.replace(/^/gm, '  ')}\n`,
  );
  return `${lines.join('')}${usable ? 'This machine can read images.' : 'This machine cannot read images yet.'}\n`;
}
