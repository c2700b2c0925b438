import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import type { JsonObject, JsonValue } from '../../../dist/qmp/json/value.js';
import { HmpCommands } from '../../../dist/shell/language/hmp-commands.js';
import { completeHmpLine, completeLine } from '../../../dist/shell/language/line-completion.js';
import { recordedSchema } from '../../support/qemu/recorded-schema.js';

const schema = recordedSchema();
const OWN = ['.help', '.save', '.events'];

/** What a VM answers: by command, or by command and path. */
const VM: Readonly<Record<string, JsonValue>> = {
  'query-named-block-nodes': [
    { 'node-name': 'disk0', 'dirty-bitmaps': [{ name: 'daily' }, { name: 'weekly' }] },
    { 'node-name': 'disk1', 'dirty-bitmaps': [{ name: 'other' }] },
  ],
  'query-block': [{ device: 'drive0' }, { device: '' }],
  'query-chardev': [{ label: 'serial0' }, { label: 'mon0' }],
  'query-block-jobs': [{ device: 'job-a' }],
  'query-cpus-fast': [{ 'cpu-index': 0 }, { 'cpu-index': 1 }],
  'qom-list-types': [{ name: 'virtio-blk-pci' }, { name: 'virtio-net-pci' }],
  'device-list-properties': [{ name: 'drive' }, { name: 'logical_block_size' }],
  'qom-list /': [
    { name: 'machine', type: 'child<pc>' },
    { name: 'type', type: 'string' },
  ],
  'qom-list /machine': [
    { name: 'peripheral', type: 'child<container>' },
    { name: 'peripheral-anon', type: 'child<container>' },
    { name: 'accel', type: 'string' },
  ],
  'qom-list /machine/peripheral': [
    { name: 'net0', type: 'child<virtio-net-pci>' },
    { name: 'type', type: 'string' },
  ],
  'qom-list /objects': [{ name: 'ram0', type: 'child<memory-backend-ram>' }],
};

const ask = (command: string, args: JsonObject = {}): Promise<JsonValue | null> => {
  const path = typeof args['path'] === 'string' ? ` ${args['path']}` : '';
  return Promise.resolve(VM[command + path] ?? null);
};

async function offers(line: string, actions: readonly JsonObject[] | null = null): Promise<string[]> {
  const { from, candidates } = await completeLine({ schema, names: [] }, line, actions, OWN, ask);
  return candidates.map(({ text }) => line.slice(0, from) + text);
}

describe('completion from the live VM', () => {
  it('walks the QOM tree a level at a time', async () => {
    assert.deepEqual(await offers('qom-list path='), ['qom-list path=/']);
    assert.deepEqual(await offers('qom-list path=/m'), ['qom-list path=/machine']);
    assert.deepEqual(await offers('qom-get path=/machine/p'), [
      'qom-get path=/machine/peripheral',
      'qom-get path=/machine/peripheral-anon',
    ]);
    assert.deepEqual(await offers('qom-get path=/machine property=a'), ['qom-get path=/machine property=accel']);
  });

  it('knows nodes, devices, objects, jobs, character devices and bitmaps where they belong', async () => {
    assert.deepEqual(await offers('blockdev-del node-name='), [
      'blockdev-del node-name=disk0',
      'blockdev-del node-name=disk1',
    ]);
    assert.deepEqual(await offers('block_resize device=d'), [
      'block_resize device=disk0',
      'block_resize device=disk1',
      'block_resize device=drive0',
    ]);
    assert.deepEqual(await offers('device_del id='), ['device_del id=net0']);
    assert.deepEqual(await offers('object-del id='), ['object-del id=ram0']);
    assert.deepEqual(await offers('chardev-remove id=s'), ['chardev-remove id=serial0']);
    assert.deepEqual(await offers('block-job-cancel device='), ['block-job-cancel device=job-a']);
    assert.deepEqual(await offers('block-dirty-bitmap-remove node=disk0 name='), [
      'block-dirty-bitmap-remove node=disk0 name=daily',
      'block-dirty-bitmap-remove node=disk0 name=weekly',
    ]);
    assert.deepEqual(await offers('blockdev-add driver=qcow2 file=disk1'), ['blockdev-add driver=qcow2 file=disk1']);
  });

  it('offers nothing for a name that is new', async () => {
    assert.deepEqual(await offers('blockdev-add driver=null-co node-name='), []);
    assert.deepEqual(await offers('block-dirty-bitmap-add node=disk0 name='), []);
  });

  it('knows types of devices, and the properties of the one that is added', async () => {
    assert.deepEqual(await offers('device_add driver=virtio-n'), ['device_add driver=virtio-net-pci']);
    assert.deepEqual(await offers('device_add driver=virtio-blk-pci l'), [
      'device_add driver=virtio-blk-pci logical_block_size=',
    ]);
    assert.deepEqual(await offers('device_add driver=virtio-blk-pci drive=disk0 dri'), []);
    assert.deepEqual(await offers('device_add driver=virtio-blk-pci drive=disk0'), [
      'device_add driver=virtio-blk-pci drive=disk0',
    ]);
  });

  it('works in a transaction', async () => {
    assert.deepEqual(await offers('block-dirty-bitmap-add node=disk1', []), ['block-dirty-bitmap-add node=disk1']);
    assert.deepEqual(await offers('block-dirty-bitmap-clear node=disk1 name=', []), [
      'block-dirty-bitmap-clear node=disk1 name=other',
    ]);
  });

  it('offers the commands of the shell, and the topics of help', async () => {
    assert.deepEqual(await offers('.s'), ['.save']);
    assert.deepEqual(await offers('hel'), ['help']);
    assert.deepEqual(await offers('help query-statu'), ['help query-status']);
    assert.deepEqual(await offers('help BLOCK_JOB_R'), ['help BLOCK_JOB_READY']);
    assert.deepEqual(await offers('help blockdev-add driver=qcow'), [
      'help blockdev-add driver=qcow',
      'help blockdev-add driver=qcow2',
    ]);
  });

  it('without a schema offers the names that the server lists', async () => {
    const vocabulary = { schema: null, names: ['guest-ping', 'guest-info'] };
    const { candidates } = await completeLine(vocabulary, 'guest-p', null, OWN, ask);
    assert.deepEqual(candidates, [{ text: 'guest-ping', goesOn: false }]);
    assert.deepEqual((await completeLine(vocabulary, 'guest-ping x', null, OWN, ask)).candidates, []);
  });

  it('offers the words it knows when the VM does not answer', async () => {
    const silent = () => Promise.resolve(null);
    const { candidates } = await completeLine({ schema, names: [] }, 'qom-list path=/m', null, OWN, silent);
    assert.deepEqual(candidates, []);
  });
});

const HELP = `announce_self [interfaces] [id] -- Trigger GARP/RARP announcements
block_job_cancel [-f] device -- stop an active background block operation (use -f
\t\t\t if you want to abort the operation immediately
commit device|all -- commit changes to the disk images
cont|c  -- resume emulation
cpu index -- set the default CPU
device_add driver[,prop=value][,...] -- add device, like -device on the command line
device_del device -- remove device
drive_add [-n] [[<domain>:]<bus>:]<slot>
[file=file][,if=type][,bus=n]
[,readonly=on|off][,copy-on-read=on|off] -- add drive to PCI storage controller
eject [-f] device -- eject a removable medium (use -f to force it)
help|? [cmd] -- show the help
info [subcommand] -- show various information about the system state
qom-get path property -- print QOM property
set_link name on|off -- change the link status of a network adapter
watchdog_action [reset|shutdown|poweroff|pause|debug|none] -- change watchdog action
x /fmt addr -- virtual memory dump starting at 'addr'
`.replaceAll('\n', '\r\n');
const INFO = `info block [-n] [-v] [device] -- show info of one block device or all block devices
info blockstats  -- show block device statistics
info status  -- show the current VM status (running|paused)
`;

describe('completion of the human monitor', () => {
  const commands = new HmpCommands(HELP, INFO);
  const hmp = async (line: string): Promise<string[]> => {
    const { from, candidates } = await completeHmpLine(commands, line, ask);
    return candidates.map(({ text }) => line.slice(0, from) + text);
  };

  it('reads the output of help, aliases and continued lines included', () => {
    const names = commands.commands.map((command) => command.names.join('|'));
    assert.equal(names.length, 15);
    assert.ok(names.includes('cont|c') && names.includes('help|?') && names.includes('drive_add'));
    assert.deepEqual(commands.commands[1], {
      names: ['block_job_cancel'],
      parameters: '[-f] device',
      summary: 'stop an active background block operation (use -f if you want to abort the operation immediately',
    });
    assert.match(
      commands.commands.find(({ names: [name] }) => name === 'drive_add')?.parameters ?? '',
      /copy-on-read=on\|off\]$/,
    );
  });

  it('offers commands, topics of info and help, flags and words', async () => {
    assert.deepEqual(await hmp('co'), ['commit', 'cont']);
    assert.deepEqual(await hmp('info bl'), ['info block', 'info blockstats']);
    assert.deepEqual(await hmp('help set'), ['help set_link']);
    assert.deepEqual(await hmp('help info st'), ['help info status']);
    assert.deepEqual(await hmp('info block -'), ['info block -n', 'info block -v']);
    assert.deepEqual(await hmp('set_link net0 o'), ['set_link net0 off', 'set_link net0 on']);
    assert.deepEqual(await hmp('watchdog_action p'), ['watchdog_action pause', 'watchdog_action poweroff']);
    assert.deepEqual(await hmp('nosuch x'), []);
    // As QEMU splits: a verb ends at a slash, and behind a closing quote no blank is needed.
    assert.deepEqual(await hmp('set_link "net 0"o'), ['set_link "net 0"off', 'set_link "net 0"on']);
    assert.deepEqual(await hmp('set_link/net0 o'), ['set_link/net0 off', 'set_link/net0 on']);
    assert.deepEqual(await hmp('set_link "net0 o'), []);
    assert.deepEqual(await hmp('info\tbl'), ['info\tblock', 'info\tblockstats']);
  });

  it('offers names of the live VM', async () => {
    assert.deepEqual(await hmp('info block d'), ['info block disk0', 'info block disk1', 'info block drive0']);
    assert.deepEqual(await hmp('eject -f dr'), ['eject -f drive0']);
    assert.deepEqual(await hmp('device_del '), ['device_del net0']);
    assert.deepEqual(await hmp('device_add virtio-b'), ['device_add virtio-blk-pci']);
    assert.deepEqual(await hmp('qom-get /machine/peripheral-'), ['qom-get /machine/peripheral-anon']);
    assert.deepEqual(await hmp('qom-get /machine a'), ['qom-get /machine accel']);
    assert.deepEqual(await hmp('block_job_cancel '), ['block_job_cancel job-a']);
    assert.deepEqual(await hmp('commit a'), ['commit all']);
    assert.deepEqual(await hmp('cpu '), ['cpu 0', 'cpu 1']);
  });
});
