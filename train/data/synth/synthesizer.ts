/** Makes word images: each from a seed and its number alone, the same wherever and whenever it is made. */
import type { RgbImage } from '../../../model/rgb_image.js';
import { RandomGenerator } from '../../../engine/random.js';
import type { RandomSource } from '../rand_augment_noise.js';
import { paintBackground } from './backgrounds.js';
import { photographed } from './camera.js';
import { pickWeighted } from './choices.js';
import { FontChoice, type ChosenFont } from './font_choice.js';
import { type LetterSuccession, letterSuccession } from './invented_words.js';
import { type Layout, layOut } from './layout.js';
import { paintLettering, styles } from './lettering.js';
import type { SynthesisMaterial } from './material.js';
import { type TextSources, passingWord, randomText } from './texts.js';
import { type EnglishWords, englishWords } from './words.js';

/** A word image and what is written on it. */
export interface SyntheticWord {
  readonly image: RgbImage;
  readonly label: string;
}

/** A text that its font can draw. */
interface Writing extends ChosenFont {
  /** What is drawn: fonts without small letters draw capitals for them. */
  readonly drawn: string;
  readonly label: string;
}

const fontsPerText = 6;
const textsPerImage = 40;

/** Makes word images on one thread. Fonts are opened as they are needed and kept. */
export class Synthesizer {
  private readonly fonts: FontChoice;
  private readonly english: EnglishWords = englishWords();
  private readonly succession: LetterSuccession = letterSuccession(this.english[0]![1]);

  constructor(private readonly material: SynthesisMaterial) {
    this.fonts = new FontChoice(material.families);
  }

  /**
   * The image of a number. With the same material and version it has the same bytes on every call.
   * @param seed a whole number from 0 to 2^53 - 1; others give other images
   * @param index of the image, from 0 to 2^32 - 1
   * @throws RangeError if one of them is none of these
   * @throws Error if a font can no longer be read, or none can draw any text
   */
  synthesize(seed: number, index: number): SyntheticWord {
    const random = new RandomGenerator(seed, index);
    for (let attempt = 0; attempt < textsPerImage; attempt++) {
      // Where words that short are rare, longer ones are cut.
      const writing = this.chooseWriting(random, attempt >= textsPerImage / 2);
      if (!writing) continue;
      const layout = this.layOut(random, writing);
      if (!layout) continue;
      return { image: this.paint(random, layout), label: writing.label };
    }
    throw new Error(`image ${index}: none of the fonts can draw any of ${textsPerImage} texts.`);
  }

  private chooseWriting(random: RandomSource, cut: boolean): Writing | undefined {
    const { ownWords: own, ownShare, longestText } = this.material;
    const sources: TextSources = { english: this.english, succession: this.succession, own, ownShare };
    const chosen = randomText(random, sources);
    const characters = Array.from(chosen);
    if (characters.length > longestText && !cut) return undefined;
    const text = characters.slice(0, longestText).join('');
    for (let attempt = 0; attempt < fontsPerText; attempt++) {
      const font = this.fonts.choose(random);
      if (!font.face.canDraw(text)) continue;
      return { ...font, drawn: text, label: font.face.capitalsOnly ? inCapitals(text) : text };
    }
    return undefined;
  }

  private layOut(random: RandomSource, { face, isHandwriting, drawn }: Writing): Layout | undefined {
    const { english, succession } = this;
    const nextWord = (): string => passingWord(random, { english, succession, own: [], ownShare: 0 });
    return layOut(random, face, drawn, isHandwriting, nextWord);
  }

  private paint(random: RandomSource, layout: Layout): RgbImage {
    const { width, height, letterHeight } = layout;
    const scene = paintBackground(random, width, height, letterHeight, this.material.photographs);
    paintLettering(random, scene, layout, pickWeighted(random, styles));
    return photographed(random, scene, letterHeight);
  }
}

/** Letters without a capital of their own stay as they are. */
function inCapitals(text: string): string {
  return Array.from(text, (letter) => {
    const capital = letter.toUpperCase();
    return Array.from(capital).length === 1 ? capital : letter;
  }).join('');
}
