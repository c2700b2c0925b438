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
    'Reads all that serve would read, policy files and certificates included, but creates no sockets. Of a folder, every file that serve would leave out is named.',
    'What the rules of policies leave open is noted on standard error, with the rule to add.',
    'Exit codes: 0 it can be used, 64 wrong command line, 78 it cannot; standard error says where and why.',
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
