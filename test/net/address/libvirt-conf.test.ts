/** libvirt.conf: names of URIs, and the default. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type TestContext, test } from 'node:test';
import { resolveLibvirtUri } from '../../../dist/net/address/libvirt-conf.js';
import { scratch } from '../../support/files/scratch.js';

const OURS = process.getuid?.() === 0 ? 'qemu:///system' : 'qemu:///session';

function conf(t: TestContext, text: string): string {
  const file = join(scratch(t), 'libvirt.conf');
  writeFileSync(file, text);
  return file;
}

function resolve(given: string | null, file: string, environment: NodeJS.ProcessEnv = {}): string {
  const resolved = resolveLibvirtUri(given, environment, file);
  return resolved.ok ? resolved.uri : `problem: ${resolved.problem}`;
}

const EXAMPLE = `# names
uri_aliases = [
  "hail=qemu+ssh://root@hail.example/system", # the first
  'sleet=qemu+tls://sleet.example/system?pkipath=/a=b',
]
other_number=-5
uri_default = "sleet"
`;

test('a name in libvirt.conf means its URI', (t) => {
  const file = conf(t, EXAMPLE);
  assert.equal(resolve('hail', file), 'qemu+ssh://root@hail.example/system');
  assert.equal(resolve('sleet', file), 'qemu+tls://sleet.example/system?pkipath=/a=b');
  assert.equal(resolve('rain', file), `problem: "rain" is neither a libvirt URI nor one of the uri_aliases in ${file}`);
});

test('without a URI, the one of virsh is meant: of the environment, of libvirt.conf, of the user', (t) => {
  const file = conf(t, EXAMPLE);
  const none = `${file}-none`;
  assert.equal(resolve(null, file, { LIBVIRT_DEFAULT_URI: 'qemu+ssh://a/system' }), 'qemu+ssh://a/system');
  assert.equal(resolve(null, file, { LIBVIRT_DEFAULT_URI: 'hail' }), 'qemu+ssh://root@hail.example/system');
  assert.equal(resolve(null, file), 'qemu+tls://sleet.example/system?pkipath=/a=b');
  assert.equal(resolve(null, none), OURS);
  assert.equal(resolve('qemu:///session', file), 'qemu:///session');
});

test('a libvirt.conf that cannot be parsed is reported with the line, where it is needed', (t) => {
  const file = conf(t, 'uri_default = "x"\n\n?!\n');
  assert.equal(resolve('hail', file), `problem: ${file}: line 3 cannot be parsed`);
  assert.equal(resolve('qemu:///system', file), 'qemu:///system');
  const other = conf(t, 'uri_aliases = ["hail"]\n');
  assert.equal(resolve('hail', other), `problem: ${other}: the alias "hail" is not NAME=URI`);
  const folder = scratch(t);
  assert.equal(resolve('hail', folder), `problem: ${folder}: it is a folder`);
});
