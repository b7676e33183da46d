/** Comparing a model with what the original PyTorch code computed. */
export { type CompareOptions, compareReference } from './compare.js';
export type { ReferenceMetadata } from './format.js';
export { ReferenceFile, type ReferenceReading } from './reference_file.js';
export {
  type PartedImage,
  type Place,
  type ReferenceReport,
  type StageReport,
  type TextDifference,
  axesOf,
} from './report.js';
