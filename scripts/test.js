// Runs Jest (further arguments are Jest's) and ends with one plain line of counts. A skipped test is a failure: nothing
// may look tested that is not.
import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { quietEnvironment } from './environment.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'clip4str-test-'));
const resultsFile = join(folder, 'results.json');

const jest = spawnSync(
  process.execPath,
  [
    '--experimental-vm-modules',
    '--no-warnings',
    'node_modules/jest/bin/jest.js',
    '--json',
    `--outputFile=${resultsFile}`,
    ...process.argv.slice(2),
  ],
  { cwd: root, stdio: ['ignore', 'ignore', 'inherit'], env: quietEnvironment() },
);

const { passed, failed, skipped } = readCounts();
rmSync(folder, { recursive: true, force: true });
console.log(`${passed} passed, ${failed} failed, ${skipped} skipped`);
process.exit(jest.status === 0 && passed > 0 && failed === 0 && skipped === 0 ? 0 : 1);

function readCounts() {
  if (!existsSync(resultsFile)) {
    console.error(
      `Jest ended without results (${jest.error?.message ?? jest.signal ?? `exit code ${jest.status}`}).`,
    );
    return { passed: 0, failed: 1, skipped: 0 };
  }
  const results = JSON.parse(readFileSync(resultsFile, 'utf8'));
  return {
    passed: results.numPassedTests,
    // A file that does not load, or whose process died, has no tests to count; it counts as one.
    failed: results.numFailedTests + results.numRuntimeErrorTestSuites,
    skipped: results.numPendingTests + results.numTodoTests,
  };
}
