/** `qmpmux config check`: whether a config can be used, without using it. */
import { statSync } from 'node:fs';
import type { DaemonConfig } from '../daemon/config.js';
import { readConfig, readConfigFolder } from '../daemon/config-file.js';
import { rulesOf } from '../daemon/policies.js';
import { formatAddress } from '../net/address.js';
import { EXIT } from './exit-code.js';
import { subcommand, UsageError } from './subcommand.js';

export const configCheck = subcommand({
  name: 'config check',
  usage: 'config check FILE-OR-FOLDER',
  operands: 'words',
  options: {
    quiet: { type: 'boolean', alias: 'q', describe: 'tell only what is wrong' },
  },
  examples: [
    ['$0 config check /etc/qmpmux/web1.toml', 'before `systemctl reload qmpmux@web1`'],
    ['$0 config check /etc/qmpmux/conf.d', 'all files of a folder, as --config-dir takes them'],
  ],
  notes: [
    'Read is what serve reads, files of policies included. Whether sockets can be made is not tried.',
    'Exit codes: 0 it can be used, 64 wrong command line, 78 it cannot; standard error says where and why.',
  ].join('\n'),

  run(flags, operands) {
    const [path, ...others] = operands;
    if (path === undefined || others.length > 0) throw new UsageError('name one config file, or a folder of them');
    const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
    const config = isFolder ? readConfigFolder(path) : readConfig(path);
    for (const { listen } of config.monitors) {
      for (const { settings } of listen) rulesOf(settings.policy, config.policies);
    }
    if (flags.quiet !== true) process.stdout.write(describe(config));
    return Promise.resolve(EXIT.ok);
  },
});

function describe(config: DaemonConfig): string {
  const lines = config.monitors.map(({ name, upstream, listen }) => {
    const sockets = listen.map(({ address }) => formatAddress(address)).join(' ');
    return `${name}: ${formatAddress(upstream)} is served at ${sockets}\n`;
  });
  return lines.length === 0 ? 'no monitor\n' : lines.join('');
}
