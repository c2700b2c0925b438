import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { PendingCommand } from '../../../dist/mux/commands/command.js';
import type { Stage } from '../../../dist/mux/commands/lifecycle.js';
import { idleOwner } from '../../support/world/session-parts.js';

/** The steps that bring a command to each stage. */
const transitions: Readonly<Record<Exclude<Stage, 'read'>, (command: PendingCommand) => void>> = {
  waiting: (command) => command.markWaiting(),
  sent: (command) => command.markSent(),
  running: (command) => command.markRunning(),
  answered: (command) => command.markAnswered(),
  abandoned: (command) => command.markAbandoned(),
  done: (command) => command.markDone(),
};

/** A way to each stage, and the stages that may follow it. */
const stages: Readonly<Record<Stage, { readonly way: readonly (keyof typeof transitions)[]; readonly next: string }>> =
  {
    read: { way: [], next: 'waiting answered' },
    waiting: { way: ['waiting'], next: 'sent running answered done' },
    sent: { way: ['waiting', 'sent'], next: 'answered abandoned done' },
    running: { way: ['waiting', 'running'], next: 'answered done' },
    answered: { way: ['answered'], next: 'done' },
    abandoned: { way: ['waiting', 'sent', 'abandoned'], next: 'done' },
    done: { way: ['answered', 'done'], next: '' },
  };

function commandAt(stage: Stage): PendingCommand {
  const command = new PendingCommand(idleOwner());
  for (const step of stages[stage].way) transitions[step](command);
  assert.equal(command.stage, stage);
  return command;
}

describe('a command', () => {
  for (const [from, { next }] of Object.entries(stages)) {
    // The keys are stages by the type of the table.
    const stage = from as Stage;
    const allowed = next.split(' ');
    for (const [to, become] of Object.entries(transitions)) {
      if (allowed.includes(to)) {
        it(`that is ${stage} may become ${to}`, () => {
          const command = commandAt(stage);
          become(command);
          assert.equal(command.stage, to);
          assert.equal(command.isInFlight, to === 'sent');
        });
      } else {
        it(`that is ${stage} never becomes ${to}, and stays ${stage}`, () => {
          const command = commandAt(stage);
          assert.throws(() => become(command), { message: `a command that is ${stage} cannot be ${to}` });
          assert.equal(command.stage, stage);
        });
      }
    }
  }
});
