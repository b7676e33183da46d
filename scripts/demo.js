// Reads the sample images with the command line and lays what was read beside what is written on them.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';
import { quietEnvironment } from './environment.js';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);

const command = [
  'dist/cli/main.js',
  'read',
  'samples/*.{png,jpg}',
  '--format',
  'jsonl',
  ...process.argv.slice(2),
];
const reading = spawnSync(process.execPath, command, {
  encoding: 'utf8',
  stdio: ['ignore', 'pipe', 'inherit'],
  env: quietEnvironment(),
});
if (reading.status !== 0) process.exit(reading.status ?? 1);

const written = new Map(
  readFileSync('samples/labels.tsv', 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => line.split('\t')),
);
const rows = reading.stdout
  .split('\n')
  .filter((line) => line.startsWith('{'))
  .map((line) => JSON.parse(line))
  .map(({ file, text, confidence, milliseconds }) => {
    const truth = written.get(basename(file)) ?? '';
    return [
      basename(file),
      truth,
      text,
      confidence.toFixed(3),
      milliseconds.toFixed(0),
      text === truth ? 'yes' : 'no',
    ];
  });

const table = [['image', 'written', 'read', 'confidence', 'ms', 'right'], ...rows];
const widths = table[0].map((_, column) => Math.max(...table.map((row) => row[column].length)));
console.log();
for (const row of table) {
  // Numbers end flush right, words begin flush left.
  const cells = row.map((cell, column) =>
    column === 3 || column === 4 ? cell.padStart(widths[column]) : cell.padEnd(widths[column]),
  );
  console.log(cells.join('  ').trimEnd());
}
const right = rows.filter((row) => row[5] === 'yes').length;
console.log(`\n${right} of ${rows.length} read exactly as written.`);
