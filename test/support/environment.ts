/**
 * Jest's environment for Node, in which code runs as fast as outside of it, and waiting for Dawn leaves the cores to the
 * software adapter.
 */
import vm from 'node:vm';
import { TestEnvironment } from 'jest-environment-node';
import { pollPatiently } from '../../engine/patient_polling.js';

export default class extends TestEnvironment {
  constructor(...given: ConstructorParameters<typeof TestEnvironment>) {
    const { createContext } = vm;
    // An object that stands in for the global one is asked for every `Math` and `Float32Array`, which takes fifty times as
    // long. Node before 20.18 has no other contexts.
    vm.createContext = (standIn, options) => createContext(vm.constants?.DONT_CONTEXTIFY ?? standIn, options);
    try {
      super(...given);
    } finally {
      vm.createContext = createContext;
    }
  }

  override async setup(): Promise<void> {
    // Tests have a `setImmediate` of their own; Dawn asks by that of the process, which only an environment reaches.
    pollPatiently();
    await super.setup();
  }
}
