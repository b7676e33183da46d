import { describe, expect, test } from '@jest/globals';
import {
  clipVocabularySize,
  encodeText,
  endOfTextId,
  startOfTextId,
  tokenizeCaptions,
} from '../model/clip_tokenizer.js';
import { readJsonFixture } from './support/fixtures.js';

interface Sample {
  text: string;
  ids: number[];
  tokens16: number[];
  tokens77_unpadded: number[] | null;
  decoded: string;
}
const reference = readJsonFixture<{ sot: number; eot: number; vocab: number; samples: Sample[] }>(
  'tokenizer/clip_bpe.json',
);

describe('CLIP tokenizer against the original', () => {
  test('special ids and size', () => {
    expect([startOfTextId, endOfTextId, clipVocabularySize]).toEqual([
      reference.sot,
      reference.eot,
      reference.vocab,
    ]);
  });

  test.each(reference.samples.map((sample, index) => ({ index, ...sample })))(
    '$index: ids, both contexts and decoding',
    ({ text, ids, tokens16, tokens77_unpadded: tokens77 }) => {
      expect(encodeText(text)).toEqual(ids);
      expect(Array.from(tokenizeCaptions([text], 16))).toEqual(tokens16);
      if (tokens77 === null) {
        expect(() => tokenizeCaptions([text], 77, 'reject')).toThrow(/tokens, at most 77 fit/);
      } else {
        const padded = [...tokens77, ...new Array<number>(77 - tokens77.length).fill(0)];
        expect(Array.from(tokenizeCaptions([text], 77, 'reject'))).toEqual(padded);
      }
    },
  );

  test('the whole list at once gives the rows of each text', () => {
    const tokens = tokenizeCaptions(
      reference.samples.map(({ text }) => text),
      16,
    );
    expect(Array.from(tokens)).toEqual(reference.samples.flatMap(({ tokens16 }) => tokens16));
  });
});

describe('CLIP tokenizer on odd input', () => {
  test('no texts give no ids', () => {
    expect(tokenizeCaptions([], 16)).toEqual(new Int32Array(0));
  });

  test('a lone surrogate and control references do no harm', () => {
    expect(encodeText('\ud800')).toEqual(encodeText('\ufffd'));
    expect(encodeText('a&#1;b')).toEqual(encodeText('ab'));
    expect(encodeText('&#x41;&#66;')).toEqual(encodeText('ab'));
  });

  test('a long text takes no unreasonable time', () => {
    const started = performance.now();
    tokenizeCaptions(['x'.repeat(4000), '&amp;'.repeat(2000)], 77);
    expect(performance.now() - started).toBeLessThan(5000);
  });
});
