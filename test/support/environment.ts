/**
 * Jest's environment for Node, where waiting for Dawn leaves the cores to the software adapter. Tests have a
 * `setImmediate` of their own; Dawn asks by that of the process, which only an environment reaches.
 */
import { TestEnvironment } from 'jest-environment-node';
import { pollPatiently } from '../../engine/patient_polling.js';

export default class extends TestEnvironment {
  override async setup(): Promise<void> {
    pollPatiently();
    await super.setup();
  }
}
