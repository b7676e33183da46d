// Tells whether node_modules holds what package-lock.json asks for, however it was installed.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

/** Compares the lockfile with the record npm leaves in node_modules once an installation is complete. */
export function dependenciesAreCurrent(root) {
  const record = join(root, 'node_modules/.package-lock.json');
  if (!existsSync(record)) return false;
  const installed = JSON.parse(readFileSync(record, 'utf8')).packages;
  const wanted = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true;
    const found = installed[path];
    // Optional packages are for other systems wherever they are not installed.
    if (found === undefined) return entry.optional === true;
    return found.version === entry.version && found.integrity === entry.integrity;
  });
}
