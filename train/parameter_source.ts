/** Parameters that are no file: made or put together when they are asked for. */
import type { ModelConfiguration } from '../model/index.js';
import type { F32Chunk } from '../weights/checkpoint.js';
import type { ParameterInfo, ParameterSource } from '../weights/index.js';

/** Gives the values of a parameter, dense and row-major; the same ones each time. */
export type ParameterReader = (name: string, shape: readonly number[]) => Promise<Float32Array>;

/**
 * @param name for messages
 * @param close called when the parameters are closed
 */
export function parameterSource(
  name: string,
  family: ModelConfiguration['family'],
  shapes: ReadonlyMap<string, readonly number[]>,
  read: ParameterReader,
  close: () => Promise<void> = async () => {},
): ParameterSource {
  const parameters = new Map(
    [...shapes].map(([parameter, shape]): [string, ParameterInfo] => [
      parameter,
      { shape, dtype: 'f32', byteLength: 4 * shape.reduce((count, size) => count * size, 1) },
    ]),
  );
  const readF32 = (parameter: string): Promise<Float32Array> => read(parameter, shapes.get(parameter)!);
  return {
    name,
    family,
    convention: family === 'clip' ? 'openai-clip' : family,
    configuration: {},
    parameters,
    ignored: [],
    readF32,
    async *readChunks(parameter): AsyncGenerator<F32Chunk> {
      yield { elementOffset: 0, values: await readF32(parameter) };
    },
    close,
  };
}
