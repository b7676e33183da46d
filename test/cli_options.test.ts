import { describe, expect, test } from '@jest/globals';
import { deviceOption, imageSize, requirePrecision, wholeNumber } from '../cli/options.js';

describe('option values', () => {
  test.each([
    '',
    ' ',
    '-1',
    '1.5',
    '1e3',
    '0x10',
    '+2',
    'Infinity',
    'NaN',
    '11',
    '99999999999999999999',
    '٣',
  ])('%j is no whole number from 0 to 10', (text) => {
    expect(() => wholeNumber(0, 10)(text)).toThrow('Expected a whole number from 0 to 10.');
  });

  test('whole numbers within their bounds', () => {
    expect(['1', '7', '10', '007'].map(wholeNumber(1, 10))).toEqual([1, 7, 10, 7]);
    expect(() => wholeNumber(1, 10)('0')).toThrow('Expected a whole number from 1 to 10.');
  });

  test('image sizes are height by width', () => {
    expect(imageSize('32x128')).toEqual([32, 128]);
    for (const wrong of ['32', '32x', 'x128', '0x128', '32X128', '32x128x3', '-1x4', '999999x1', '1.5x2']) {
      expect(() => imageSize(wrong)).toThrow('Expected <height>x<width>, as 32x128.');
    }
  });

  test('an empty device is none', () => {
    const parse = (text: string): unknown => deviceOption().parseArg?.(text, undefined);
    expect(() => parse('')).toThrow('Expected an index, a name or software.');
    expect(() => parse(' ')).toThrow('Expected an index, a name or software.');
    expect(parse('software')).toBe('software');
  });

  test('f16 is refused where the adapter has none', () => {
    const device = (f16: boolean): Parameters<typeof requirePrecision>[0] => ({
      adapter: { index: 0, name: 'Old GPU', backend: 'vulkan', software: false },
      traits: { f16 },
    });
    expect(() => requirePrecision(device(false), 'f16')).toThrow('--precision f16: Old GPU has no f16');
    expect(() => requirePrecision(device(false), 'f32')).not.toThrow();
    expect(() => requirePrecision(device(true), 'f16')).not.toThrow();
  });
});
