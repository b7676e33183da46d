// Checks what would be published: the right files and nothing else, none of them too large, and a lockfile that
// installs from whatever registry its user has. Prints each fault; exit code 1 if there is any.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

process.chdir(fileURLToPath(new URL('..', import.meta.url)));

const MAX_FILE_BYTES = 1024 * 1024;
const MAX_WEIGHTS_BYTES = 12 * 1024 * 1024;
const REQUIRED = [
  'LICENSE',
  'NOTICE',
  'README.md',
  'package.json',
  'dist/index.js',
  'dist/index.d.ts',
  'dist/engine/index.js',
  'dist/engine/index.d.ts',
  'dist/cli/main.js',
  'dist/train/logs/report.css',
  'dist/bench/kernels/run.js',
  'dist/bench/reference/index.js',
  'dist/bench/reference/export.py',
  'dist/bench/peers/torch_pipe.py',
  'dist/bench/peers/torch_kernels.py',
  'dist/bench/peers/torch_model.py',
];
const ALLOWED =
  /^(LICENSE|README\.md|NOTICE|package\.json|dist\/(index\.|(engine|kernels|model|weights|train|cli|bench\/(kernels|model|peers|reference|report|scaling))\/))/;

const faults = [];

const npm = process.env.npm_execpath;
if (npm === undefined) {
  console.error('Run this as "npm run check:package".');
  process.exit(1);
}
const pack = spawnSync(process.execPath, [npm, 'pack', '--dry-run', '--json', '--ignore-scripts'], {
  encoding: 'utf8',
});
if (pack.status !== 0) {
  console.error(`npm pack failed:\n${pack.stderr}`);
  process.exit(1);
}
// npm up to 11 gives a list of packages, later ones an object by name.
const { files, unpackedSize } = Object.values(JSON.parse(pack.stdout))[0];
const paths = new Set(files.map(({ path }) => path));

for (const path of REQUIRED) if (!paths.has(path)) faults.push(`${path} is missing from the package`);
if (!files.some(({ path }) => /^dist\/kernels\/.*\.wgsl$/.test(path)))
  faults.push('no dist/kernels/*.wgsl in the package');
if (!files.some(({ path }) => /^dist\/train\/presets\/.*\.yaml$/.test(path)))
  faults.push('no dist/train/presets/*.yaml in the package');
if (!files.some(({ path }) => /^dist\/weights\/.*\.safetensors$/.test(path))) {
  faults.push('no default model (dist/weights/*.safetensors) in the package');
}
for (const { path, size } of files) {
  if (!ALLOWED.test(path)) faults.push(`${path} does not belong into the package`);
  const limit = path.endsWith('.safetensors') ? MAX_WEIGHTS_BYTES : MAX_FILE_BYTES;
  if (size > limit) faults.push(`${path} has ${size} bytes; at most ${limit} are allowed`);
}
if (
  paths.has('dist/cli/main.js') &&
  !readFileSync('dist/cli/main.js', 'utf8').startsWith('#!/usr/bin/env node\n')
) {
  faults.push('dist/cli/main.js does not begin with #!/usr/bin/env node');
}

const lockfile = JSON.parse(readFileSync('package-lock.json', 'utf8'));
for (const [path, entry] of Object.entries(lockfile.packages)) {
  if (entry.resolved !== undefined)
    faults.push(`package-lock.json: ${path} has an address (${entry.resolved})`);
  if (path !== '' && entry.integrity === undefined)
    faults.push(`package-lock.json: ${path} has no integrity`);
}
if (!readFileSync('.npmrc', 'utf8').split('\n').includes('omit-lockfile-registry-resolved=true')) {
  faults.push('.npmrc does not set omit-lockfile-registry-resolved=true');
}

for (const fault of faults) console.error(fault);
console.log(`${files.length} files, ${(unpackedSize / 1e6).toFixed(1)} MB unpacked, ${faults.length} faults`);
process.exit(faults.length === 0 ? 0 : 1);
