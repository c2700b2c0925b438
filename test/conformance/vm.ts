/** The VM of the conformance cases: both sides of a comparison start it with these. */
import type { QemuOptions } from '../support/qemu/qemu.js';

export const vmOptions: QemuOptions = { machine: 'none', name: 'vm' };
