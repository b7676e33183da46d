/** Models that read text from images, and plain CLIP. */
export { CharsetAdapter, resolveCharset } from './charset.js';
export { CharsetTokenizer } from './charset_tokenizer.js';
export { clozeMaskValues } from './position_masks.js';
export { Clip } from './clip.js';
export type { ClipRefineOptions } from './clip_refine.js';
export { ClipRefiner } from './clip_refiner.js';
export { Clip4StrModel } from './clip4str.js';
export { checkVocabulary, tokenizeCaptions } from './clip_tokenizer.js';
export { adapterTypes, finalDecoder, readingLimits } from './configuration.js';
export type {
  AdapterConfiguration,
  AdapterType,
  ClipConfiguration,
  Clip4StrConfiguration,
  DecoderConfiguration,
  ImageEncoderConfiguration,
  ModelConfiguration,
  ParseqConfiguration,
  RecognizerConfiguration,
  StrAdapterConfiguration,
  TextEncoderConfiguration,
} from './configuration.js';
export { Decoder, type PreparedMemory } from './decoder.js';
export type { DecodingContext } from './decoder_layer.js';
export { expectedParameters } from './expected_parameters.js';
export { type Normalization, normalizations, preprocessImage } from './image.js';
export { ImageError } from './image_error.js';
export type { ImageInput, NormalizedImage } from './image_input.js';
export { type ConfigurationOverrides, inferConfiguration } from './infer_configuration.js';
export { type LoadOptions, type Model, loadModel } from './load_model.js';
export { checkApplicable } from './overrides.js';
export { checkParameters, modelDifferences } from './parameter_check.js';
export { Parameters, type Precision, precisions } from './parameters.js';
export { Parseq } from './parseq.js';
export { type PresetName, presetNames, presetOf } from './presets.js';
export type { ReadOptions } from './read_options.js';
export { Clip4Str } from './reader.js';
export type { PositionRows, Reading } from './reading.js';
export { type CharacterReading, captionFromIds, readingFromLogits } from './reading_text.js';
export type { DecodingOptions, Recognition, Recognizer } from './recognizer.js';
export type { RgbImage } from './rgb_image.js';
export { SingleBranchModel } from './single_branch.js';
export { StrAdapterModel } from './str_adapter.js';
export { storedConfiguration } from './stored_configuration.js';
