/** The emulator for libvirt, without libvirt: what becomes of qmpmux when QEMU ends at once. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, copyFileSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { setTimeout as pause } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { available } from '../../support/daemon/programs.js';
import { scratch } from '../../support/files/scratch.js';

const repository = fileURLToPath(new URL('../../../', import.meta.url));
const skip = available('setpriv') && available('bash') ? false : 'setpriv or bash is not here';

/** Processes with `text` among their arguments. */
function processesWith(text: string): readonly string[] {
  return readdirSync('/proc').filter((name) => {
    try {
      return /^\d+$/.test(name) && readFileSync(`/proc/${name}/cmdline`, 'latin1').includes(text);
    } catch {
      return false;
    }
  });
}

describe('a QEMU that ends at once', { skip }, () => {
  for (const delay of ['0', '0.1']) {
    test(`leaves no qmpmux behind, if it takes ${delay} s`, async (t) => {
      const folder = scratch(t);
      const emulator = join(folder, 'emulator');
      const qemu = join(folder, 'qemu');
      copyFileSync(join(repository, 'libvirt/qemu-behind-qmpmux'), emulator);
      writeFileSync(qemu, `#!/bin/sh\n[ ${delay} = 0 ] || sleep ${delay}\nexit 1\n`);
      chmodSync(qemu, 0o755);
      mkdirSync(join(folder, 'domain'));
      const settings = `QEMU=${qemu}\nQMPMUX=${repository}/bin/qmpmux.js\nLISTEN=unix:${folder}/%s.mux\nAUDIT=\nLOG=${folder}/log\n`;
      writeFileSync(`${emulator}.conf`, settings);
      const chardev = `socket,id=charmonitor,path=${folder}/domain/monitor.sock,server=on,wait=off`;
      for (let run = 0; run < 6; run++) {
        const child = spawn(emulator, ['-name', `guest=vm${run}`, '-chardev', chardev], { stdio: 'ignore' });
        await once(child, 'exit');
        let left: readonly string[] = ['all'];
        for (let tries = 0; left.length > 0 && tries < 600; tries++) {
          left = processesWith(folder);
          if (left.length > 0) await pause(50);
        }
        for (const pid of left) process.kill(Number(pid), 'SIGKILL');
        assert.deepEqual(left, [], readFileSync(join(folder, 'log'), 'utf8'));
      }
    });
  }
});
