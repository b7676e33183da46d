/** Data sets of word images: LMDB as PARSeq and CLIP4STR have them, and image files with a list. For Node. */
export { type CreatedDataSet, type CreateOptions, createDataSet } from './create_data_set.js';
export { contactSheet } from './contact_sheet.js';
export { DataSetError } from './errors.js';
export { type FoundDataSet, findDataSets } from './find_data_sets.js';
export {
  type ImageStatistics,
  type LabelStatistics,
  type Spread,
  imageStatistics,
  labelStatistics,
} from './inspect_data_set.js';
export { type LabelSelection, fitsCharset, labelSelection } from './label_selection.js';
export { JoinedDataSets, openDataSets } from './open_data_sets.js';
export {
  type DataSetReport,
  type DroppedSamples,
  type LabelFilter,
  type OpenOptions,
  type WordDataSet,
  type WordSample,
  keepLabel,
} from './word_data_set.js';
export { WordSetWriter } from './word_set_writer.js';
