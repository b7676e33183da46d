/** A thread that examines fonts for `font_examiner.ts`. */
import { parentPort } from 'node:worker_threads';
import { examineFont } from './examine_font.js';
import type { ExaminationRequest } from './font_examiner.js';

if (parentPort === null)
  throw new Error('font_examiner_thread.js is started by the examiner, not by itself.');
const port = parentPort;
port.on('message', ({ path, codePoints }: ExaminationRequest) =>
  port.postMessage(examineFont(path, codePoints)),
);
