// Compiles to dist/ and lays beside the code what it reads at run time: the WGSL sources and the default model.
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { STAMP, sourceHash } from './source_hash.js';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);

// The hash is taken before the compiler reads, so that a file saved meanwhile makes the next set-up build again.
const hash = sourceHash(root);
rmSync('dist', { recursive: true, force: true });
execFileSync(process.execPath, ['node_modules/typescript/bin/tsc'], { stdio: 'inherit' });

for (const [folder, extension] of [
  ['kernels', '.wgsl'],
  ['weights', '.safetensors'],
  ['model', '.json'],
]) {
  mkdirSync(`dist/${folder}`, { recursive: true });
  for (const file of readdirSync(folder)) {
    if (file.endsWith(extension)) copyFileSync(`${folder}/${file}`, `dist/${folder}/${file}`);
  }
}

// npm makes the command executable when it installs the package; in the clone the build does it.
if (existsSync('dist/cli/main.js')) chmodSync('dist/cli/main.js', 0o755);
writeFileSync(STAMP, hash);
