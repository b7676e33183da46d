import { CharsetAdapter } from '../../model/charset.js';
import type { LabelFilter } from './word_data_set.js';

/** Which labels are wanted, unchanged. */
export interface LabelSelection {
  /** Name or characters; see {@link fitsCharset}. */
  readonly charset?: string | undefined;
  /** Characters, in code points. */
  readonly minLength?: number | undefined;
  readonly maxLength?: number | undefined;
  readonly pattern?: RegExp | undefined;
}

/** A filter that leaves labels as they are and drops those that are not wanted. */
export function labelSelection({ charset, minLength = 0, maxLength, pattern }: LabelSelection): LabelFilter {
  const fits = charset === undefined ? undefined : fitsCharset(charset);
  return (label) => {
    const length = Array.from(label).length;
    if (length < minLength) return { dropped: `fewer than ${minLength} characters` };
    if (maxLength !== undefined && length > maxLength)
      return { dropped: `more than ${maxLength} characters` };
    if (fits && !fits(label)) return { dropped: 'characters outside the charset' };
    if (pattern && !pattern.test(label)) return { dropped: `does not match ${pattern}` };
    return { label };
  };
}

/**
 * Tells whether a text loses no character in a charset. Case does not count where the charset has one case only: so
 * are the labels of such a charset trained and compared.
 * @param charset name or characters, as for `resolveCharset`
 */
export function fitsCharset(charset: string): (text: string) => boolean {
  const adapter = new CharsetAdapter(charset);
  return (text) => {
    const cased = adapter.lowerCaseOnly
      ? text.toLowerCase()
      : adapter.upperCaseOnly
        ? text.toUpperCase()
        : text;
    return adapter.adapt(text) === cased;
  };
}
