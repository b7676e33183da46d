import { cleanCaption } from './caption_cleaning.js';
import { clipMerges } from './clip_merges.js';

/** Token ids of CLIP's vocabulary that bracket every text. */
export const startOfTextId = 49406;
export const endOfTextId = 49407;
/** How many tokens CLIP's vocabulary has. */
export const clipVocabularySize = 49408;

/** @throws Error where a model of that name has no embedding for some token that a text may have */
export function checkVocabulary(name: string, { vocabulary }: { readonly vocabulary: number }): void {
  if (vocabulary >= clipVocabularySize) return;
  throw new Error(
    `${name}: its token embedding has ${vocabulary} rows; CLIP's vocabulary needs ${clipVocabularySize}.`,
  );
}

const endOfWord = '</w>';
const specialTokens: ReadonlyMap<string, number> = new Map([
  ['<|startoftext|>', startOfTextId],
  ['<|endoftext|>', endOfTextId],
]);

/**
 * Token ids of texts for CLIP's text encoder: start of text, the text's tokens, end of text, zeros.
 *
 * @param contextLength ids per text; CLIP's own is 77, CLIP4STR's 16.
 * @param overflow what happens to a longer text: `truncate` makes its last id the end of text, `reject` throws.
 * @returns `[texts, contextLength]`.
 */
export function tokenizeCaptions(
  texts: readonly string[],
  contextLength: number,
  overflow: 'truncate' | 'reject' = 'truncate',
): Int32Array {
  const tokens = new Int32Array(texts.length * contextLength);
  for (const [index, text] of texts.entries()) {
    const ids = [startOfTextId, ...encodeText(text), endOfTextId];
    if (ids.length > contextLength) {
      if (overflow === 'reject') {
        const shown = text.length > 60 ? `${text.slice(0, 60)}…` : text;
        throw new Error(
          `caption ${JSON.stringify(shown)}: ${ids.length} tokens, at most ${contextLength} fit. Shorten it.`,
        );
      }
      ids.length = contextLength;
      ids[contextLength - 1] = endOfTextId;
    }
    tokens.set(ids, index * contextLength);
  }
  return tokens;
}

/** Token ids of a text, without start and end, as CLIP's `SimpleTokenizer.encode` gives them. */
export function encodeText(text: string): number[] {
  return Array.from(cleanCaption(text).matchAll(wordPattern), ([word]) => encodeWord(word)).flat();
}

const wordPattern =
  /<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/giu;

/** A printable symbol for each byte, in the order of the vocabulary's first 256 tokens. */
const symbolsInOrder: readonly { byte: number; symbol: string }[] = (() => {
  const isPrintable = (byte: number) =>
    (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xac) || byte >= 0xae;
  const bytes = Array.from({ length: 256 }, (_, byte) => byte);
  const others = bytes.filter((byte) => !isPrintable(byte));
  return [
    ...bytes.filter(isPrintable).map((byte) => ({ byte, symbol: String.fromCharCode(byte) })),
    ...others.map((byte, index) => ({ byte, symbol: String.fromCharCode(0x100 + index) })),
  ];
})();

/** The symbol of each byte, by byte. */
const byteSymbols: readonly string[] = [...symbolsInOrder]
  .sort((left, right) => left.byte - right.byte)
  .map(({ symbol }) => symbol);

interface Vocabulary {
  /** Text of each token in byte symbols, by id. */
  readonly tokens: readonly string[];
  readonly ids: ReadonlyMap<string, number>;
  /** Place of each merge, written as its two parts with a blank between them; lower merges first. */
  readonly ranks: ReadonlyMap<string, number>;
  /** Ids of words met before. */
  readonly words: Map<string, readonly number[]>;
}

let loaded: Vocabulary | undefined;

/** Read on first use: it takes up to 0.2 s, which a program that never tokenizes should not pay. */
function vocabulary(): Vocabulary {
  if (loaded === undefined) {
    const merges = clipMerges.split('\n');
    const symbols = symbolsInOrder.map(({ symbol }) => symbol);
    const tokens = [
      ...symbols,
      ...symbols.map((symbol) => symbol + endOfWord),
      ...merges.map((merge) => merge.replace(' ', '')),
      ...specialTokens.keys(),
    ];
    loaded = {
      tokens,
      ids: new Map(tokens.map((token, id) => [token, id])),
      ranks: new Map(merges.map((merge, rank) => [merge, rank])),
      words: new Map(),
    };
  }
  return loaded;
}

/** Words differ without end, so what is remembered of them is bounded. */
const rememberedWords = 10_000;

function encodeWord(word: string): readonly number[] {
  const special = specialTokens.get(word);
  if (special !== undefined) return [special];
  const { ids, words } = vocabulary();
  const known = words.get(word);
  if (known !== undefined) return known;
  const encoded = mergeWord(word).map((token) => ids.get(token)!);
  if (words.size >= rememberedWords) words.clear();
  words.set(word, encoded);
  return encoded;
}

/** Joins the bytes of a word pair by pair, the earliest merge of the vocabulary first, until none applies. */
function mergeWord(word: string): string[] {
  const { ranks } = vocabulary();
  let parts = Array.from(new TextEncoder().encode(word), (byte) => byteSymbols[byte]!);
  parts[parts.length - 1] += endOfWord;
  for (;;) {
    let bestRank = Infinity;
    let bestAt = -1;
    for (let at = 0; at + 1 < parts.length; at++) {
      const rank = ranks.get(`${parts[at]} ${parts[at + 1]}`) ?? Infinity;
      if (rank < bestRank) {
        bestRank = rank;
        bestAt = at;
      }
    }
    if (bestAt < 0) return parts;
    parts = mergeEverywhere(parts, parts[bestAt]!, parts[bestAt + 1]!);
  }
}

function mergeEverywhere(parts: readonly string[], left: string, right: string): string[] {
  const merged: string[] = [];
  for (let at = 0; at < parts.length; at++) {
    if (parts[at] === left && parts[at + 1] === right) {
      merged.push(left + right);
      at++;
    } else {
      merged.push(parts[at]!);
    }
  }
  return merged;
}
