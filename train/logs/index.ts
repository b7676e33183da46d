/** What a run writes about itself: the progress line, metrics, TensorBoard events and the report. */
export { TrainingHistory } from './history.js';
export { MetricsFile } from './metrics_file.js';
export { type MetricsLine, type StoredMetrics, readMetrics } from './metrics_lines.js';
export { ProgressLine, type ProgressLineOptions } from './progress_line.js';
export { TrainingReport, type TrainingReportOptions } from './report.js';
export { TensorBoardLog, type TensorBoardOptions } from './tensorboard.js';
