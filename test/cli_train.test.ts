/** The command line of training: a run, its interruption, its end, and reading with what it leaves. */
import {
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  readdirSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from '@jest/globals';
import { RunFolder } from '../train/index.js';
import { defaultCheckpoint } from '../weights/index.js';
import { runCommand } from './support/command.js';
import { samples } from './support/small_run.js';

const root = mkdtempSync(join(tmpdir(), 'clip4str-train-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const data = join(root, 'data');
for (const [folder, own] of [
  ['train/real', samples],
  ['val', samples.slice(0, 3)],
] as const) {
  const path = join(data, folder);
  mkdirSync(path, { recursive: true });
  own.forEach(({ image }, i) => writeFileSync(join(path, `${i}.png`), image as Uint8Array));
  writeFileSync(join(path, 'gt.txt'), own.map(({ label }, i) => `${i}.png\t${label}\n`).join(''));
}
writeFileSync(join(data, 'train/real/1.png'), 'no image');

const settings = [
  'model.img_size=[16, 32]',
  'model.embed_dim=64',
  'model.enc_num_heads=2',
  'model.enc_depth=1',
  'model.dec_num_heads=2',
  'model.batch_size=11',
  'data.num_workers=1',
  'trainer.max_epochs=2',
  'trainer.gradient_checkpointing=true',
].flatMap((setting) => ['--set', setting]);

test('a run that is told to end saves and says how to go on', async () => {
  const output = join(root, 'told');
  let told = false;
  const start = ['train', '--device', 'software', '--json', '--output', output];
  const { code, errors } = await runCommand(
    [...start, '--preset', 'parseq-tiny', '--data', data, ...settings],
    {
      onOutput: (child, stdout) => {
        if (!told && stdout.includes('"event":"step"')) told = child.kill('SIGTERM');
      },
    },
  );
  expect(code).toBe(143);
  expect(errors.join('\n')).toMatch(/saved; go on with: clip4str-engine train --resume/);
  expect(readdirSync(output).some((name) => name.endsWith('.state.safetensors'))).toBe(true);
});

test('a run is interrupted, resumed and read with', async () => {
  const output = join(root, 'run');
  const start = ['train', '--device', 'software', '--json', '--output', output];
  let interrupted = false;
  const first = await runCommand([...start, '--preset', 'parseq-tiny', '--data', data, ...settings], {
    onOutput: (child, stdout) => {
      // A second one would end it at once.
      if (!interrupted && stdout.includes('"event":"step"')) interrupted = child.kill('SIGINT');
    },
  });
  expect(first.code).toBe(130);
  expect(first.errors.join('\n')).toMatch(
    /saving after this step; [^]*saved; go on with: clip4str-engine train --resume/,
  );
  expect(readFileSync(join(output, 'config.yaml'), 'utf8')).toMatch(/name: parseq/);

  const again = await runCommand([...start, '--preset', 'parseq-tiny', '--data', data]);
  expect(again.code).toBe(1);
  expect(again.errors.join()).toMatch(/holds a run already\. Go on with --resume/);

  const stored = readFileSync(join(output, 'config.yaml'), 'utf8');
  const larger = await runCommand([...start, '--resume', '--set', 'model.embed_dim=96']);
  expect(larger.code).toBe(1);
  expect(larger.errors.join()).toMatch(
    /--resume: model\.embed_dim is 64 in .*config\.yaml, and 96 was given\. .*leave the option out/,
  );
  for (const [setting, message] of [
    [
      'model.batch_size=22',
      /model\.batch_size times trainer\.accumulate_grad_batches is 11 in .*, and 22 was given/,
    ],
    ['pretrained=/none', /pretrained is null in .*, and "\/none" was given/],
    ['seed=5', /seed is 0 in .*, and 5 was given/],
  ] as const) {
    const { code, errors } = await runCommand([...start, '--resume', '--set', setting]);
    expect([code, errors.join()]).toEqual([1, expect.stringMatching(message)]);
  }
  // The same images a step, in other batches, are the same run.
  const split = ['--set', 'model.batch_size=1', '--set', 'trainer.accumulate_grad_batches=11'];
  const same = await runCommand([...start, '--resume', ...split, '--data', root]);
  expect(same.errors.join()).toMatch(/no such folder/);
  const elsewhere = await runCommand([...start, '--resume', '--data', root]);
  expect(elsewhere.errors.join()).toMatch(/no such folder/);
  const held = await RunFolder.open(output);
  const rival = await runCommand([...start, '--resume']);
  expect(rival.code).toBe(1);
  expect(rival.errors.join()).toMatch(new RegExp(`--output: .*run: in use by process ${process.pid} on`));
  await held.close();
  expect(readFileSync(join(output, 'config.yaml'), 'utf8')).toBe(stored);

  const changed = ['--set', 'data.synthetic.words=brands.txt'];
  const second = await runCommand([...start, '--resume', ...changed], { cwd: root });
  expect(readFileSync(join(output, 'config.yaml'), 'utf8')).toContain(join(root, 'brands.txt'));
  const events = second.stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line) as { event: string; step?: number });
  expect(second.code).toBe(0);
  // Its batch is the second: how soon the signal arrives decides which of the runs sees it.
  expect([...first.errors, ...second.errors].join('\n')).toMatch(/1\.png.*another image stands in/);
  const steps = events.filter(({ event }) => event === 'step').map(({ step }) => step);
  expect(steps.at(-1)).toBe(4);
  expect(steps).not.toContain(1);
  expect(events.at(-1)).toEqual({ event: 'end', step: 4, reason: 'complete' });

  const checkpoint = join(output, 'step-00000004.safetensors');
  const read = await runCommand([
    'read',
    '--device',
    'software',
    '--checkpoint',
    checkpoint,
    join(data, 'val/0.png'),
  ]);
  expect(read.errors).toEqual([]);
  expect(read.code).toBe(0);
}, 300_000);

test('a new run leaves alone what another has measured', async () => {
  const output = join(root, 'measured');
  mkdirSync(output);
  const files = { 'config.yaml': 'extends: tiny', 'metrics.jsonl': '{}\n' };
  for (const [name, text] of Object.entries(files)) writeFileSync(join(output, name), text);
  const again = await runCommand(['train', '--preset', 'parseq-tiny', '--output', output, '--data', data]);
  expect(again.errors.join()).toMatch(/holds a run already\. Go on with --resume/);
  for (const [name, text] of Object.entries(files)) {
    expect(readFileSync(join(output, name), 'utf8')).toBe(text);
  }
});

test('a run is refused where it would write over what it reads', async () => {
  const output = join(root, 'own');
  mkdirSync(output);
  const config = join(output, 'config.yaml');
  writeFileSync(config, '# mine\nextends: parseq-tiny\n');
  const start = ['train', '--output', output, '--data', data];
  const own = await runCommand([...start, '--config', config]);
  expect([own.code, own.errors.join()]).toEqual([
    1,
    expect.stringMatching(/--output: .*own: its config\.yaml, which is read, would be written over\./),
  ]);
  expect(readFileSync(config, 'utf8')).toBe('# mine\nextends: parseq-tiny\n');
  const linked = join(root, 'linked');
  mkdirSync(linked);
  symlinkSync(config, join(linked, 'config.yaml'));
  const through = await runCommand(['train', '--output', linked, '--data', data, '--config', config]);
  expect(through.errors.join()).toMatch(/linked: its config\.yaml, which is read, would be written over/);
  const best = join(output, 'best.safetensors');
  copyFileSync(defaultCheckpoint(), best);
  const again = await runCommand([...start, '--preset', 'tiny', '--set', `pretrained=${best}`]);
  expect(again.errors.join()).toMatch(/holds a run already/);
  expect(readFileSync(best).equals(readFileSync(defaultCheckpoint()))).toBe(true);
}, 60_000);

test('what is missing is said in one line', async () => {
  const output = join(root, 'none');
  const nothing = await runCommand(['train', '--output', output]);
  expect(nothing.errors).toEqual(['error: name what to train: either --preset or --config.']);
  const noData = await runCommand(['train', '--preset', 'tiny', '--output', output, '--data', root]);
  expect(noData.errors.join()).toMatch(/train\/real: no such folder\. .*data\.train_dir=\./);
  const noRun = await runCommand(['train', '--resume', '--output', output]);
  expect(noRun.errors.join()).toMatch(/--resume: .* holds no run/);
}, 60_000);
