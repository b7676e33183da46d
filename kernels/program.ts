import { expandTemplate } from './template.js';
import { readWgsl } from './wgsl_sources.js';
import type { Launch } from './kernel.js';

type ProgramDescription = Pick<Launch, 'file' | 'defines' | 'features' | 'params'>;

/** Two launches with the same key run the same compiled program. */
export function programKey(launch: ProgramDescription): string {
  const defines = Object.entries(launch.defines).map(([name, value]) => `${name}=${value}`);
  return `${launch.file}|${defines.join(',')}`;
}

/**
 * The complete WGSL module of a launch: enable directives, the generated uniform block, the expanded file.
 * @param read gives the text of a file
 */
export function programSource(launch: ProgramDescription, read = readWgsl): string {
  const members = Object.entries(launch.params).map(([name, parameter]) => `  ${name}: ${parameter.type},`);
  return [
    ...launch.features.map((feature) => `enable ${feature};`),
    // Compilers cannot see that a subgroup's number is the same in all of its lanes.
    ...(launch.features.includes('chromium_experimental_subgroup_matrix')
      ? ['diagnostic(off, chromium.subgroup_matrix_uniformity);']
      : []),
    'struct Params {',
    ...members,
    '}',
    // The tensors' bindings are those of group 0, from 1 on.
    '@group(1) @binding(0) var<uniform> params: Params;',
    expandTemplate(launch.file, launch.defines, read),
  ].join('\n');
}

/** Size of the uniform block in bytes. */
export function parameterBytes(launch: Pick<Launch, 'params'>): number {
  return Math.ceil((Object.keys(launch.params).length * 4) / 16) * 16;
}

/** Writes the uniform block at `offset` (bytes) of `view`. */
export function writeParameters(launch: Pick<Launch, 'params'>, view: DataView, offset: number): void {
  for (const parameter of Object.values(launch.params)) {
    if (parameter.type === 'u32') view.setUint32(offset, parameter.value, true);
    else view.setFloat32(offset, parameter.value, true);
    offset += 4;
  }
}
