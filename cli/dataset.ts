import type { Command } from 'commander';
import { addDatasetCreate } from './dataset_create.js';
import { addDatasetFilter } from './dataset_filter.js';
import { addDatasetInspect } from './dataset_inspect.js';

const after = `
A data set is a folder with data.mdb (LMDB, as PARSeq and CLIP4STR have them), or a folder of images with a list:
  gt.txt         word_1.png<tab, space or comma>Tiredness
  labels.tsv     word_1.png<tab>Tiredness
  labels.jsonl   {"file": "word_1.png", "label": "Tiredness"}
A list may be named itself. Of other folders the data sets in them and below are taken.

Help for a command: clip4str-engine dataset help create`;

/** What `dataset` takes: its commands. */
export function defineDataset(dataset: Command): void {
  dataset
    .description('Make, look at and sift data sets of word images, for training and evaluation.')
    .addHelpText('after', after);
  addDatasetCreate(dataset);
  addDatasetInspect(dataset);
  addDatasetFilter(dataset);
}
