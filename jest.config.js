/** Tests run on the compiled output: what is tested is what is shipped. */
export default {
  testEnvironment: '<rootDir>/dist/test/support/environment.js',
  roots: ['<rootDir>/dist/test'],
  // What needs a Python with PyTorch: CLIP4STR_TEST_TORCH=python3 npm test
  testPathIgnorePatterns: process.env.CLIP4STR_TEST_TORCH ? [] : ['bench_torch_twin'],
  transform: {},
  testTimeout: 120_000,
  // A software adapter uses every core by itself: a second worker fills the pauses, more would only cost memory. A
  // worker that has grown past the limit is replaced before its next file.
  maxWorkers: 2,
  workerIdleMemoryLimit: '1GB',
};
