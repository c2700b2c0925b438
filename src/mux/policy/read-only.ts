/**
 * The list behind `policy=read-only`: commands that change neither the VM nor the host, make QEMU open or write nothing, and
 * hand out no secret. Taken one by one from what query-qmp-schema names in QEMU 7.2, 10.0 and 11.1 (x86_64), and for other targets of
 * older ones from qapi/*.json. A command that is not on the list is denied, so one of a newer QEMU is until it has been looked at.
 *
 * Left out on purpose, though they look harmless:
 * - `human-monitor-command`: a line of HMP can do anything.
 * - `qom-get`, `qom-list-get`: they run the getters of properties, and the `data` of a `secret` object is the secret.
 * - `qom-list-properties`, `device-list-properties`: they create an object of any type asked for, to look at it.
 * - `query-rx-filter`: it arms NIC_RX_FILTER_CHANGED again (net.json), so a client that asks takes events from another.
 * - `query-sev-attestation-report`, `query-sev-capabilities`, `query-sgx-capabilities`, `query-gic-capabilities`: they put the
 *   question to the host's firmware or kernel, through devices opened for it.
 * - `ringbuf-read`: it removes what it reads from the buffer.
 * - `x-…`: unstable, their effects may change; `x-query-profile` sets its counters to zero, others print addresses of the host.
 * - `screendump`, `dump-guest-memory`, `memsave`, `pmemsave`, `dumpdtb`, `dump-skeys`: they write files.
 * - `query-firmware-log`: it searches the guest's memory and returns what it finds there. `request-ebpf`: hands out a program.
 * - `xen-event-list`, `trace-event-get-state`: nobody has asked for them yet.
 */

const NAMES: readonly string[] = [
  // control.json, introspect.json: about QEMU itself
  'query-commands',
  'query-version',
  'query-qmp-schema',
  'query-command-line-options',
  'query-name',
  'query-uuid',
  'query-iothreads',
  // run-state.json
  'query-status',
  // machine.json, machine-target.json, machine-s390x.json, accelerator.json, misc.json, target.json
  'query-target',
  'query-kvm',
  'query-accelerators',
  'query-machines',
  'query-current-machine',
  'query-cpus-fast',
  'query-hotpluggable-cpus',
  'query-cpu-definitions',
  'query-cpu-model-expansion',
  'query-cpu-model-comparison',
  'query-cpu-model-baseline',
  'query-s390x-cpu-polarization',
  'query-memdev',
  'query-memory-devices',
  'query-memory-size-summary',
  'query-balloon',
  'query-hv-balloon-status-report',
  'query-vm-generation-id',
  'query-sev',
  'query-sev-launch-measure',
  'query-sgx',
  'query-fdsets',
  'query-replay',
  // acpi.json, pci.json, tpm.json, cryptodev.json, audio.json
  'query-acpi-ospm-status',
  'query-pci',
  'query-tpm',
  'query-tpm-models',
  'query-tpm-types',
  'query-cryptodev',
  'query-audiodevs',
  // block-core.json, block-export.json, block.json, job.json
  'query-block',
  'query-blockstats',
  'query-named-block-nodes',
  'query-block-jobs',
  'query-block-exports',
  'query-jobs',
  'query-pr-managers',
  // char.json
  'query-chardev',
  'query-chardev-backends',
  // dump.json
  'query-dump',
  'query-dump-guest-memory-capability',
  // migration.json, yank.json: its state, never a step of it
  'query-migrate',
  'query-migrate-capabilities',
  'query-migrate-parameters',
  'query-migrationthreads',
  'query-dirty-rate',
  'query-vcpu-dirty-limit',
  'query-colo-status',
  'query-xen-replication-status',
  'query-yank',
  // rocker.json
  'query-rocker',
  'query-rocker-ports',
  'query-rocker-of-dpa-flows',
  'query-rocker-of-dpa-groups',
  // stats.json
  'query-stats',
  'query-stats-schemas',
  // ui.json
  'query-display-options',
  'query-mice',
  'query-spice',
  'query-vnc',
  'query-vnc-servers',
  // qom.json: the names in the object tree, not their values
  'qom-list',
  'qom-list-types',
  // qmpmux's own, if a listener allows them
  '__org.qmpmux_query-status',
  '__org.qmpmux_query-clients',
  '__org.qmpmux_query-queue',
  '__org.qmpmux_query-events',
];

const names = new Set(NAMES);

/** @returns whether a command only reads, by its decoded name. */
export function isReadOnly(name: string): boolean {
  return names.has(name);
}

/** The list, for people. */
export function readOnlyCommands(): readonly string[] {
  return NAMES;
}
