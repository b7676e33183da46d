/** The README's training example is type-checked with what the package ships, run as a stranger would, and must learn. */
import { afterAll, describe, expect, test } from '@jest/globals';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

// Inside the package, where its own name resolves to its exports.
const folder = mkdtempSync(fileURLToPath(new URL('../readme-example-', import.meta.url)));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const [, example] = /<!-- run by test\/readme_example\.test\.ts -->\s+```ts\n([^]*?)```/.exec(readme) ?? [];

describe('the training example of the README', () => {
  test('compiles under strict rules', () => {
    const path = `${folder}/example.mts`;
    writeFileSync(path, example!);
    const program = ts.createProgram([path], {
      strict: true,
      noUncheckedIndexedAccess: true,
      noEmit: true,
      skipLibCheck: true,
      target: ts.ScriptTarget.ES2022,
      module: ts.ModuleKind.NodeNext,
      moduleResolution: ts.ModuleResolutionKind.NodeNext,
      types: [],
    });
    const found = ts.getPreEmitDiagnostics(program);
    expect(found.map(({ messageText }) => ts.flattenDiagnosticMessageText(messageText, '\n'))).toEqual([]);
  });

  test('tells the spirals apart', () => {
    const { outputText } = ts.transpileModule(example!, {
      compilerOptions: { target: ts.ScriptTarget.ES2022, module: ts.ModuleKind.ESNext },
    });
    const path = `${folder}/example.mjs`;
    writeFileSync(path, outputText);
    const printed = execFileSync(process.execPath, [path], {
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const [, accuracy] = /^accuracy ([\d.]+) %$/m.exec(printed) ?? [];
    expect(Number(accuracy)).toBeGreaterThan(95);
  });
});
