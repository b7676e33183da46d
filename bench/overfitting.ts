/**
 * Shows that training learns: 64 word images are memorised by a model that starts from nothing, and read back from the
 * checkpoint it wrote, by the commands that a user has:
 *
 *     node dist/bench/overfitting.js <data set> [--steps 180] [--output bench/results/overfitting.json] [--curve docs/overfitting.svg]
 *
 * The data set is an LMDB folder or a folder with a list; its images are taken at even distances, each text once.
 */
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { openDataSets } from '../train/data/index.js';
import { labelFilter } from '../train/label_filter.js';
import { curvePicture } from './curve_picture.js';

const imageCount = 64;
const batchSize = 32;
const main = fileURLToPath(new URL('../cli/main.js', import.meta.url));

interface StepLine {
  readonly event: string;
  readonly step: number;
  readonly loss: number;
  readonly stepMs: number;
}

/** Runs a command of the package; its notes are shown. @returns its standard output */
function command(...args: readonly string[]): Promise<string> {
  const child = spawn(process.execPath, [main, ...args], { stdio: ['ignore', 'pipe', 'inherit'] });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) =>
      code === 0 ? resolve(output) : reject(new Error(`${args[0]} ended with exit code ${code}`)),
    );
  });
}

/** Writes the chosen images with their list. @returns labels by file name */
async function choose(source: string, folder: string): Promise<Map<string, string>> {
  const rules = { charset: '94', maxLabelLength: 25, removeWhitespace: true, normalizeUnicode: true };
  const set = await openDataSets([source], { filter: labelFilter(rules) });
  const indices = new Map<string, number>();
  for (let index = 0; index < set.length; index++) indices.set(set.label(index), index);
  const different = [...indices.values()].sort((a, b) => a - b);
  if (different.length < imageCount) {
    throw new Error(`${source} has ${different.length} different texts; expected ${imageCount} or more.`);
  }
  await mkdir(folder, { recursive: true });
  const labels = new Map<string, string>();
  for (let i = 0; i < imageCount; i++) {
    const {
      image,
      label,
      source: name,
    } = await set.sample(different[Math.floor((i * different.length) / imageCount)]!);
    const file = `${String(i).padStart(2, '0')}${extname(name) || '.jpg'}`;
    await writeFile(join(folder, file), image);
    labels.set(file, label);
  }
  await set.close();
  await writeFile(
    join(folder, 'labels.tsv'),
    [...labels].map(([file, label]) => `${file}\t${label}\n`).join(''),
  );
  return labels;
}

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    steps: { type: 'string', default: '180' },
    output: { type: 'string' },
    curve: { type: 'string' },
  },
});
const [source] = positionals;
if (source === undefined) throw new Error('name the data set to take the images from.');
const folder = await mkdtemp(join(tmpdir(), 'clip4str-overfitting-'));
try {
  const images = join(folder, 'train', 'real');
  const labels = await choose(source, images);
  const run = join(folder, 'run');
  const settings = [
    'data.augment=false',
    'data.num_workers=1',
    `model.batch_size=${batchSize}`,
    `trainer.max_steps=${values.steps}`,
    'trainer.precision=32',
    'model.lr=3e-3',
    'model.muon_lr=4.5e-3',
    'model.perm_num=4',
    'model.visual_first_pct=0.5',
    'model.visual_first_perm_num=2',
  ];
  const events = await command(
    ...['train', '--preset', 'tiny', '--data', folder, '--output', run, '--json'],
    ...settings.flatMap((setting) => ['--set', setting]),
  );
  const steps = events
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as StepLine)
    .filter(({ event }) => event === 'step');
  const checkpoint = (await readdir(run)).find((name) => /^step-\d+\.safetensors$/.test(name))!;
  const read = await command(
    ...[
      'read',
      images,
      '--checkpoint',
      join(run, checkpoint),
      '--charset',
      '94',
      '--format',
      'json',
      '--quiet',
    ],
  );
  const readings = JSON.parse(read) as { file: string; text: string }[];
  const wrong = readings.filter(({ file, text }) => labels.get(file.split('/').at(-1)!) !== text);
  const seconds = steps.reduce((sum, { stepMs }) => sum + stepMs, 0) / 1000;
  console.log(
    `${readings.length - wrong.length} of ${imageCount} read back after ${steps.length} steps, ${seconds.toFixed(0)} s`,
  );
  for (const { file, text } of wrong) console.log(`  ${file}: ${text}`);
  if (values.output !== undefined) {
    const result = {
      date: new Date().toISOString(),
      settings,
      seconds,
      readBack: readings.length - wrong.length,
      images: imageCount,
      losses: steps.map(({ loss }) => Number(loss.toFixed(4))),
      configuration: (await readFile(join(run, 'config.yaml'), 'utf8')).replaceAll(folder, 'data'),
    };
    await writeFile(values.output, `${JSON.stringify(result, null, 2)}\n`);
  }
  if (values.curve !== undefined) {
    const points = steps.map(({ step, loss }) => ({ x: step, y: loss }));
    const caption = `loss over ${steps.length} steps, each of ${batchSize} of the ${imageCount} images`;
    await writeFile(values.curve, curvePicture(points, { caption }));
  }
  process.exitCode = wrong.length === 0 ? 0 : 1;
} finally {
  await rm(folder, { recursive: true });
}
