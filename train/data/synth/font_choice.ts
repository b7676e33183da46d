/** Chooses fonts. */
import type { RandomSource } from '../rand_augment_noise.js';
import { pick, pickWeighted } from './choices.js';
import { type FaceData, FontFace } from './font_face.js';
import type { FontFamily } from './fonts.js';

export interface ChosenFont {
  readonly face: FontFace;
  /** Whether letters are joined or meant to look so. */
  readonly isHandwriting: boolean;
}

/** How often scene text is set in each category; fonts of unknown category make up one of their own. */
const shares: Readonly<Record<string, number>> = {
  'sans-serif': 48,
  serif: 20,
  display: 20,
  handwriting: 8,
  monospace: 4,
};
const unknownShare = 40;
/** With fewer families than this a category counts half or less, so that the same few are not seen all the time. */
const fewFamilies = 6;

export class FontChoice {
  private readonly categories: readonly (readonly [number, readonly FontFamily[]])[];
  private readonly faces = new Map<FaceData, FontFace>();

  constructor(families: readonly FontFamily[]) {
    const byCategory = new Map<string | undefined, FontFamily[]>();
    for (const family of families) {
      const known = family.category !== undefined && family.category in shares ? family.category : undefined;
      const list = byCategory.get(known);
      if (list) list.push(family);
      else byCategory.set(known, [family]);
    }
    this.categories = Array.from(byCategory, ([category, members]) => {
      const share = category === undefined ? unknownShare : shares[category]!;
      return [(share * members.length) / (members.length + fewFamilies), members] as const;
    });
  }

  choose(random: RandomSource): ChosenFont {
    const family = pick(random, pickWeighted(random, this.categories));
    const data = pick(random, family.faces);
    let face = this.faces.get(data);
    if (!face) this.faces.set(data, (face = new FontFace(data)));
    return { face, isHandwriting: family.category === 'handwriting' };
  }
}
