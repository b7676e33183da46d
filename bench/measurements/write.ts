/** Writes `docs/measurements.md` and the tables of the README from `bench/results`. */
import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { measurementsPage } from './page.js';
import { readmeTables, withTables } from './readme.js';
import { readStored } from './stored.js';

const root = new URL('../../../', import.meta.url);
const stored = readStored(fileURLToPath(new URL('bench/results', root)));
const readme = new URL('README.md', root);
writeFileSync(new URL('docs/measurements.md', root), measurementsPage(stored));
writeFileSync(readme, withTables(readFileSync(readme, 'utf8'), readmeTables(stored)));
