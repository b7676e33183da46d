/** Tests run on the compiled output: what is tested is what is shipped. */
export default {
  testEnvironment: 'node',
  roots: ['<rootDir>/dist/test'],
  transform: {},
  testTimeout: 120_000,
};
