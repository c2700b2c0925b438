/**
 * Cases where QEMU offers two ways to one thing that are no two spellings of the same arguments: a rule over one leaves the other open, and
 * `qmpmux policy test` and `config check` say so (policy-notes.ts). Taken from query-qmp-schema and `help` of QEMU 7.2, 10.0 and 11.1, and
 * the files named.
 */

/** Commands that do the same, or do it in another step. */
export const SAME_DEED: readonly (readonly [one: string, other: string, source: string])[] = [
  ['drive-backup', 'blockdev-backup', 'qapi/block-core.json'],
  ['drive-mirror', 'blockdev-mirror', 'qapi/block-core.json'],
  ['blockdev-snapshot-sync', 'blockdev-snapshot', 'qapi/block-core.json'],
  ['blockdev-change-medium', 'blockdev-insert-medium', 'qapi/block.json'],
  ['eject', 'blockdev-remove-medium', 'qapi/block.json'],
  ['eject', 'blockdev-open-tray', 'qapi/block.json'],
  ['nbd-server-add', 'block-export-add', 'qapi/block-export.json'],
  ['nbd-server-remove', 'block-export-del', 'qapi/block-export.json'],
  ['block-job-cancel', 'job-cancel', 'qapi/job.json'],
  ['block-job-complete', 'job-complete', 'qapi/job.json'],
  ['block-job-dismiss', 'job-dismiss', 'qapi/job.json'],
  ['block-job-finalize', 'job-finalize', 'qapi/job.json'],
  ['block-job-pause', 'job-pause', 'qapi/job.json'],
  ['block-job-resume', 'job-resume', 'qapi/job.json'],
  ['change-vnc-password', 'set_password', 'qapi/ui.json'],
  ['watchdog-set-action', 'set-action', 'qapi/run-state.json'],
  ['chardev-add', 'chardev-change', 'qapi/char.json'],
  ['qom-get', 'qom-list-get', 'qapi/qom.json (10.1)'],
  ['qom-list-properties', 'device-list-properties', 'qapi/qdev.json'],
  ['memsave', 'pmemsave', 'qapi/machine.json'],
  ['memsave', 'dump-guest-memory', 'qapi/dump.json'],
  ['pmemsave', 'dump-guest-memory', 'qapi/dump.json'],
  ['getfd', 'add-fd', 'qapi/misc.json'],
];

/** Arguments of one command that name the same: a device by its backend or by itself, a node by its name or by its file. */
export const SAME_ARGUMENT: readonly (readonly [command: string, one: string, other: string])[] = [
  ['eject', 'device', 'id'],
  ['blockdev-open-tray', 'device', 'id'],
  ['blockdev-close-tray', 'device', 'id'],
  ['blockdev-change-medium', 'device', 'id'],
  ['block_set_io_throttle', 'device', 'id'],
  ['block_resize', 'device', 'node-name'],
  ['blockdev-snapshot-sync', 'device', 'node-name'],
  ['block-commit', 'base', 'base-node'],
  ['block-commit', 'top', 'top-node'],
  ['block-stream', 'base', 'base-node'],
  ['block-stream', 'base', 'bottom'],
  // The same argument carries a key's name or its number.
  ['send-key', 'keys.*.data', 'keys.*.type'],
  // A device of the host by its address or by its path.
  ['device_add', 'host', 'sysfsdev'],
  ['device_add', 'hostdevice', 'hostaddr'],
  ['device_add', 'hostdevice', 'vendorid'],
  // The driver vvfat makes a disk of a folder.
  ['blockdev-add', '**.filename', '**.dir'],
];

/** Commands that use the same argument for something else: each needs a rule over its values. */
export const SHARED_ARGUMENT: readonly (readonly [
  command: string,
  argument: string,
  other: string,
  otherArgument: string,
])[] = [
  ['migrate', 'uri', 'migrate-incoming', 'uri'],
  ['migrate', 'uri', 'migrate-recover', 'uri'],
  ['migrate-incoming', 'uri', 'migrate', 'uri'],
  ['migrate-incoming', 'uri', 'migrate-recover', 'uri'],
  ['blockdev-add', '**', 'blockdev-reopen', 'options.**'],
  ['blockdev-add', '**', 'blockdev-create', 'options.**'],
  ['blockdev-add', '**', 'drive-mirror', 'target'],
  ['blockdev-add', '**', 'drive-backup', 'target'],
  ['blockdev-add', '**', 'blockdev-snapshot-sync', 'snapshot-file'],
  ['blockdev-add', '**', 'blockdev-change-medium', 'filename'],
];

/** Besides `exec:`, these run a program of the client's choice (migration/cpr-exec.c from 10.2, net/tap.c, net/passt.c from 10.1). */
export const RUNS_PROGRAMS: readonly (readonly [command: string, argument: string])[] = [
  ['migrate-set-parameters', 'cpr-exec-command.**'],
  ['netdev_add', 'script'],
  ['netdev_add', 'downscript'],
  ['netdev_add', 'helper'],
  ['netdev_add', 'path'],
  ['netdev_add', 'guestfwd.**'],
];

/** HMP commands that do what a QMP command of another name does. (Where only `-` and `_` differ, and for `query-X` and `info X`, no row is needed.) */
export const HMP_WAYS: readonly (readonly [command: string, verb: string])[] = [
  ['blockdev-snapshot', 'snapshot_blkdev'],
  ['blockdev-snapshot-sync', 'snapshot_blkdev'],
  ['blockdev-snapshot-internal-sync', 'snapshot_blkdev_internal'],
  ['blockdev-snapshot-delete-internal-sync', 'snapshot_delete_blkdev_internal'],
  ['snapshot-save', 'savevm'],
  ['snapshot-load', 'loadvm'],
  ['snapshot-delete', 'delvm'],
  ['blockdev-add', 'drive_add'],
  ['blockdev-del', 'drive_del'],
  ['blockdev-backup', 'drive_backup'],
  ['blockdev-mirror', 'drive_mirror'],
  ['blockdev-change-medium', 'change'],
  ['change-vnc-password', 'change'],
  ['change-vnc-password', 'set_password'],
  ['block-commit', 'commit'],
  ['block-export-add', 'nbd_server_add'],
  ['block-export-del', 'nbd_server_remove'],
  ['job-cancel', 'block_job_cancel'],
  ['send-key', 'sendkey'],
  ['input-send-event', 'mouse_button'],
  ['inject-nmi', 'nmi'],
  ['watchdog-set-action', 'watchdog_action'],
  ['set-action', 'watchdog_action'],
  ['migrate-set-parameters', 'migrate_set_parameter'],
  ['migrate-set-capabilities', 'migrate_set_capability'],
  ['trace-event-set-state', 'trace-event'],
];
