// Compiles to dist/ and lays beside the code what it reads at run time: the WGSL sources and the default model.
import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readdirSync, rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
process.chdir(root);
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
