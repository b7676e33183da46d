import { readFileSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { build } from 'esbuild';
import { readWgsl } from '../kernels/wgsl_sources.js';

const dist = fileURLToPath(new URL('..', import.meta.url));

describe('a bundle for browsers', () => {
  test('sees the same WGSL as Node', async () => {
    const browser = (await import(`${dist}kernels/wgsl_sources.browser.js`)) as {
      readWgsl(file: string): string;
    };
    const files = readdirSync(`${dist}kernels`).filter((file) => file.endsWith('.wgsl'));
    expect(files.length).toBeGreaterThan(10);
    for (const file of files) expect(browser.readWgsl(file)).toBe(readWgsl(file));
  });

  test.each(['engine/index.js', 'index.js'])('of %s needs nothing of Node', async (entry) => {
    const { outputFiles } = await build({
      absWorkingDir: fileURLToPath(new URL('../..', import.meta.url)),
      entryPoints: [`dist/${entry}`],
      bundle: true,
      write: false,
      format: 'esm',
      platform: 'browser',
      logLevel: 'silent',
    });
    const code = outputFiles[0]!.text;
    expect(code).not.toMatch(/from ["']node:/);
    expect(code).toContain(readFileSync(`${dist}kernels/softmax.wgsl`, 'utf8').split('\n')[0]!.slice(0, 60));
  });
});
