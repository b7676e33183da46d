import { resolveCharset } from './charset.js';

/** Character ids of a batch of labels. */
export interface EncodedLabels {
  /** `[labels, length]`, row by row; shorter rows end in padding ids. */
  readonly ids: Int32Array;
  /** Ids in a row: the longest label and its two special tokens. */
  readonly length: number;
}

/**
 * Character ids as PARSeq and CLIP4STR number them: 0 is the end token, 1 to n the charset in its order, n + 1 the begin
 * token, n + 2 padding. Models predict the first n + 1 of them: never begin, never padding.
 */
export class CharsetTokenizer {
  readonly endId = 0;
  readonly beginId: number;
  readonly padId: number;
  /** How many ids there are, special ones included: the rows of a decoder's token embedding. */
  readonly size: number;
  /** How many ids a model can predict: the charset and the end token. */
  readonly classes: number;
  readonly #tokens: readonly string[];
  readonly #ids: ReadonlyMap<string, number>;

  /** @param charset name or characters, as for {@link resolveCharset}. */
  constructor(charset: string) {
    const characters = Array.from(resolveCharset(charset));
    this.#tokens = ['[E]', ...characters, '[B]', '[P]'];
    this.#ids = new Map(characters.map((character, index) => [character, index + 1]));
    this.size = this.#tokens.length;
    this.classes = characters.length + 1;
    this.beginId = characters.length + 1;
    this.padId = characters.length + 2;
  }

  /**
   * Ids of labels, each between a begin and an end token, padded to the longest.
   *
   * @throws Error naming the first character that the charset lacks.
   */
  encode(labels: readonly string[]): EncodedLabels {
    const rows = labels.map((label) => [this.beginId, ...this.#idsOf(label), this.endId]);
    const length = rows.reduce((longest, row) => Math.max(longest, row.length), 0);
    const ids = new Int32Array(labels.length * length).fill(this.padId);
    rows.forEach((row, index) => ids.set(row, index * length));
    return { ids, length };
  }

  #idsOf(label: string): number[] {
    return Array.from(label, (character) => {
      const id = this.#ids.get(character);
      if (id === undefined) {
        throw new Error(
          `label ${JSON.stringify(label)}: ${JSON.stringify(character)} is not in the charset. ` +
            'Pass the label through a CharsetAdapter first.',
        );
      }
      return id;
    });
  }

  /** The text of each id; special tokens are written `[E]`, `[B]` and `[P]`. */
  tokens(ids: ArrayLike<number>): string[] {
    return Array.from(ids, (id) => {
      const token = this.#tokens[id];
      if (token === undefined) throw new Error(`character id ${id}: expected 0 to ${this.size - 1}.`);
      return token;
    });
  }

  /** The text before the first end token. */
  decode(ids: ArrayLike<number>): string {
    const all = Array.from(ids);
    const end = all.indexOf(this.endId);
    return this.tokens(end < 0 ? all : all.slice(0, end)).join('');
  }

  /**
   * The text before the first `[E]` once all tokens are joined, which is how CLIP4STR makes captions (`decode_fast`). It
   * differs from {@link decode} where the characters `[`, `E`, `]` follow one another: they cut the text too.
   */
  decodeToWrittenEnd(ids: ArrayLike<number>): string {
    const joined = this.tokens(ids).join('');
    const end = joined.indexOf('[E]');
    return end < 0 ? joined : joined.slice(0, end);
  }
}
