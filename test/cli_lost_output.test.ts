/** Output that cannot be written: a full disk is a failure, a reader that has seen enough is none. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { main } from './support/command.js';

const whereFull = existsSync('/dev/full') ? test : test.skip;

function inShell(script: string): { status: number | null; stderr: string } {
  return spawnSync('bash', ['-c', script, process.execPath, main], { encoding: 'utf8' });
}

whereFull.each(['inspect', 'inspect --json', 'download --list', '--help'])('%s to a full disk', (args) => {
  const { status, stderr } = inShell(`"$0" "$1" ${args} > /dev/full`);
  expect(status).toBe(1);
  expect(stderr).toMatch(/^the standard output cannot be written: [^\n]+\n$/);
});

whereFull.each(['inspect', 'inspect --json', '--help'])('%s to a reader that leaves', (args) => {
  const { status, stderr } = inShell(`"$0" "$1" ${args} | true; exit "\${PIPESTATUS[0]}"`);
  expect([status, stderr]).toEqual([0, '']);
});
