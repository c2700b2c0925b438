/** `qmpmux completion`: a script that makes a shell complete words after `qmpmux`. */
import { suggestion } from '../../shared/spelling.js';
import type { CommandTree } from '../framework/command-tree.js';
import { EXIT } from '../framework/exit-code.js';
import { type Subcommand, subcommand, UsageError } from '../framework/subcommand.js';
import { completionScript, SHELLS } from './completion-scripts.js';

/** @param loadCommands gives all subcommands, of which this is one */
export const completion = (loadCommands: () => Promise<CommandTree>): Subcommand =>
  subcommand({
    name: 'completion',
    usage: `completion ${SHELLS.join('|')}`,
    operands: 'words',
    options: {},
    examples: [
      ['source <($0 completion bash)', 'in ~/.bashrc'],
      ['source <($0 completion zsh)', 'in ~/.zshrc, after compinit'],
    ],
    notes: 'The Debian package installs both.',

    async run(_flags, operands) {
      const [name = '', unexpected] = operands;
      const shell = SHELLS.find((known) => known === name);
      if (shell === undefined || unexpected !== undefined) {
        const what = shell === undefined ? name : (unexpected ?? '');
        const near = suggestion(what, SHELLS) || `; name one of ${SHELLS.join(', ')}`;
        throw new UsageError(
          what === '' ? `a shell is missing${near}` : `${JSON.stringify(what)} is unexpected${near}`,
        );
      }
      process.stdout.write(completionScript(shell, await loadCommands()));
      return EXIT.ok;
    },
  });
