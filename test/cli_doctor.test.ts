import { describe, expect, test } from '@jest/globals';
import type { Examination } from '../cli/examination.js';
import { runCommand } from './support/command.js';

describe('doctor', () => {
  test('finds the device, right kernels and a model that reads', async () => {
    const { code, stdout } = await runCommand(['doctor', '--json']);
    expect(code).toBe(0);
    const found = JSON.parse(stdout) as Examination;
    expect(found.usable).toBe(true);
    expect(found.adapters.map(({ index }) => index)).toEqual(found.adapters.map((_, index) => index));
    expect(found.adapters[0]).toEqual(found.device!.adapter);
    expect(found.packages['webgpu']).toMatch(/^\d+\.\d+\.\d+/);
    expect(found.device!.limits['maxStorageBufferBindingSize']).toBeGreaterThanOrEqual(2 ** 27);
    const dtypes = found.device!.f16 ? ['f32', 'f16'] : ['f32'];
    expect(found.selfTest.map(({ operation, dtype }) => `${operation} ${dtype}`)).toEqual(
      dtypes.flatMap((dtype) =>
        ['matmul', 'softmax', 'layernorm', 'attention'].map((name) => `${name} ${dtype}`),
      ),
    );
    for (const { error, tolerance, passed, milliseconds } of found.selfTest) {
      expect(passed).toBe(true);
      expect(error).toBeGreaterThan(0);
      expect(error).toBeLessThan(tolerance);
      expect(milliseconds).toBeGreaterThan(0);
    }
    expect(found.model).toMatchObject({ text: 'LEFT', expected: 'LEFT' });
    expect(found.problems.every(({ fatal, advice }) => !fatal && advice !== '')).toBe(true);
  });

  test('prints the same for people, and what to do when a device is not there', async () => {
    const [text, missing] = await Promise.all([
      runCommand(['doctor', '--device', 'software']),
      runCommand(['doctor', '--device', 'no such adapter']),
    ]);
    expect(text.code).toBe(0);
    expect(text.stdout).toMatch(/computes on the CPU.*\n {2}\S/);
    expect(text.stdout).toMatch(/matmul +f32 +right/);
    expect(text.stdout.trimEnd()).toMatch(/\nThis machine can read images\.$/);
    expect(missing.code).toBe(1);
    expect(missing.stdout).toMatch(
      /PROBLEM: no device can be opened: no adapter matches .*\n {2}Choose another with --device/,
    );
    expect(missing.errors).toEqual([]);
  });
});

describe('the program', () => {
  test('tells its version and helps with every command', async () => {
    const commands = ['read', 'inspect', 'convert', 'doctor', 'download'];
    const [version, help, ...each] = await Promise.all([
      runCommand(['--version']),
      runCommand(['--help']),
      ...commands.map((name) => runCommand([name, '--help'])),
    ]);
    expect(version.stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
    for (const [index, name] of commands.entries()) {
      expect(help.stdout).toMatch(new RegExp(`^ {2}${name} `, 'm'));
      expect(each[index]!.stdout).toContain(`Examples:\n  clip4str-engine ${name}`);
    }
    expect([version, help, ...each].map(({ code }) => code)).toEqual(Array.from({ length: 7 }, () => 0));
  });

  test('knows a command wherever it is named', async () => {
    const [plain, ...others] = await Promise.all([
      runCommand(['read', '--help']),
      runCommand(['help', 'read']),
      runCommand(['--', 'read', '--help']),
    ]);
    expect(plain.stdout).toContain('--attention <folder>');
    expect(others[0].stdout).toBe(plain.stdout);
    // After -- all are operands: read is given an image of that name.
    expect(others[1].errors).toEqual([expect.stringMatching(/^--help: /)]);
  });

  test('suggests the command that was meant', async () => {
    const [wrong, none] = await Promise.all([runCommand(['dowload', 'x']), runCommand([])]);
    expect([wrong.code, wrong.errors]).toEqual([
      1,
      ["error: unknown command 'dowload' (Did you mean download?)"],
    ]);
    expect(none.code).toBe(1);
  });
});
