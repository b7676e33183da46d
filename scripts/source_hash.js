// One hash over everything a build reads: when it equals the one the last build left, dist/ is current.
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';

const FOLDERS = ['engine', 'kernels', 'model', 'weights', 'train', 'bench', 'cli', 'test', 'scripts'];
const FILES = ['index.ts', 'package-lock.json', 'package.json', 'tsconfig.json'];
const EXTENSIONS = /\.(ts|js|wgsl|css|json|safetensors|yaml|py)$/;

/** Where a finished build leaves its hash. */
export const STAMP = 'dist/.source-hash';

export function sourceHash(root) {
  const hash = createHash('sha256');
  const paths = FOLDERS.flatMap((folder) => sourcesUnder(root, folder));
  for (const path of [...FILES, ...paths]) {
    const bytes = readFileSync(join(root, path));
    hash.update(`${path}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest('hex');
}

export function buildIsCurrent(root) {
  const stamp = join(root, STAMP);
  return existsSync(stamp) && readFileSync(stamp, 'utf8') === sourceHash(root);
}

function sourcesUnder(root, folder) {
  if (!existsSync(join(root, folder))) return [];
  return readdirSync(join(root, folder), { withFileTypes: true })
    .sort((left, right) => (left.name < right.name ? -1 : 1))
    .flatMap((entry) => {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) return path === 'test/fixtures' ? [] : sourcesUnder(root, path);
      return EXTENSIONS.test(entry.name) ? [path] : [];
    });
}
