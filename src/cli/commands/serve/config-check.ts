/** `qmpmux config check`: whether a config can be used, without using it. */
import { statSync } from 'node:fs';
import { readConfig } from '../../../daemon/config/config-file.js';
import { readConfigFolder } from '../../../daemon/config/config-folder.js';
import { subcommand, UsageError } from '../../framework/subcommand.js';
import { textFor, writeProblem } from '../../screen/screen-text.js';
import { outlineOf, policyNotes, tellFaults } from './config-outline.js';

export const configCheck = subcommand({
  name: 'config check',
  usage: 'config check FILE-OR-FOLDER',
  operands: 'words',
  options: {
    quiet: { type: 'boolean', alias: 'q', describe: 'print only what is wrong' },
  },
  examples: [
    ['$0 config check /etc/qmpmux/web1.toml', 'before `systemctl reload qmpmux@web1`'],
    ['$0 config check /etc/qmpmux/conf.d', 'all files of a folder, as --config-dir takes them'],
  ],
  notes: [
    'Reads everything that serve would read, policy files and certificates included, but creates no sockets. For a folder, it names every file that serve would skip.',
    'Gaps in the rules of policies are reported on standard error, with the rules that close them.',
    'Exit codes: 0 usable, 64 wrong command line, 78 unusable; standard error says where and why.',
  ].join('\n'),

  run(flags, operands) {
    const [path, ...others] = operands;
    if (path === undefined || others.length > 0) throw new UsageError('name one config file, or a folder of them');
    const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
    const config = isFolder ? readConfigFolder(path) : readConfig(path);
    const outline = outlineOf(config);
    if (flags.quiet !== true) {
      process.stdout.write(textFor(process.stdout, outline));
      for (const note of policyNotes(config)) writeProblem(`note: ${note}`);
    }
    return Promise.resolve(tellFaults(config));
  },
});
