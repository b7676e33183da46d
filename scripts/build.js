// Compiles to dist/ and lays beside the code what it reads at run time: the WGSL sources, the default model, the
// training presets, the style of the training report and the scripts for Python.
import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  readFileSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { fileURLToPath } from 'node:url';
import { STAMP, buildIsCurrent, sourceHash } from './source_hash.js';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);
if (process.argv.includes('--if-stale') && buildIsCurrent(root)) process.exit(0);

// The hash is taken before the compiler reads, so that a file saved meanwhile makes the next set-up build again.
const hash = sourceHash(root);
rmSync('dist', { recursive: true, force: true });
execFileSync(process.execPath, ['node_modules/typescript/bin/tsc'], { stdio: 'inherit' });

for (const [folder, extension] of [
  ['kernels', '.wgsl'],
  ['weights', '.safetensors'],
  ['model', '.json'],
  ['train/presets', '.yaml'],
  ['train/logs', '.css'],
  ['bench/reference', '.py'],
  ['bench/peers', '.py'],
]) {
  mkdirSync(`dist/${folder}`, { recursive: true });
  for (const file of readdirSync(folder)) {
    if (file.endsWith(extension)) copyFileSync(`${folder}/${file}`, `dist/${folder}/${file}`);
  }
}

// Bundlers for browsers take this module in place of the one that reads files (the browser field of package.json).
const wgsl = readdirSync('kernels').filter((file) => file.endsWith('.wgsl'));
const texts = Object.fromEntries(wgsl.map((file) => [file, readFileSync(`kernels/${file}`, 'utf8')]));
writeFileSync(
  'dist/kernels/wgsl_sources.browser.js',
  `const texts = ${JSON.stringify(texts, null, 2)};\n\n/** The text of a WGSL file of this folder. */\n` +
    'export function readWgsl(file) {\n  return texts[file];\n}\n',
);

// npm makes the command executable when it installs the package; in the clone the build does it.
if (existsSync('dist/cli/main.js')) chmodSync('dist/cli/main.js', 0o755);
writeFileSync(STAMP, hash);
