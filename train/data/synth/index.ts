/** Word images rendered from fonts and word lists. For Node. */
export { type FetchedFonts, fetchFonts } from './fetch_fonts.js';
export type { Fault } from './fonts.js';
export { type ImageFormat, LabelledFolder } from './labelled_folder.js';
export {
  type GatheredMaterial,
  type SynthesisMaterial,
  type SynthesisOptions,
  defaultLongestText,
  gatherMaterial,
} from './material.js';
export { LmdbWriter } from './lmdb_writer.js';
export { type Recipe, claimFolder, recipeOf } from './recipe.js';
export { type RenderOptions, renderWords } from './render_words.js';
export type { RenderSetup } from './render_messages.js';
export { type SyntheticWord, Synthesizer } from './synthesizer.js';
export { type SyntheticSourceOptions, syntheticSource } from './synthetic_source.js';
export type { WordWriter } from './word_writer.js';
