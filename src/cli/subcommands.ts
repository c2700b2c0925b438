/** All subcommands, by name: the purpose of each, and how to load it. None of them is loaded here. */
import { type CommandTree, type Entry, type Group, loadTree } from './framework/command-tree.js';

/** In the order of the help. */
export const SUBCOMMANDS: Readonly<Record<string, Entry | Group>> = {
  serve: {
    summary: 'share the monitors of running VMs among many clients',
    load: async () => (await import('./commands/serve/serve.js')).serve,
  },
  exec: {
    summary: 'execute a QMP command and print the reply',
    load: async () => (await import('./commands/exec/exec.js')).exec,
  },
  hmp: {
    summary: 'execute a command of the human monitor and print its text',
    load: async () => (await import('./commands/hmp.js')).hmp,
  },
  events: {
    summary: 'wait for events of a VM and print them',
    load: async () => (await import('./commands/events.js')).events,
  },
  shell: {
    summary: 'speak QMP or HMP at a terminal: history, completion, help',
    load: async () => (await import('./commands/shell.js')).shell,
  },
  status: {
    summary: 'show the state of a monitor and of qmpmux (--check: as a Nagios plugin)',
    load: async () => (await import('./commands/inspect/status.js')).status,
  },
  clients: {
    summary: 'list the connected clients',
    load: async () => (await import('./commands/inspect/clients.js')).clients,
  },
  queue: {
    summary: 'list the commands without an answer, and the one that blocks the others',
    load: async () => (await import('./commands/inspect/queue.js')).queue,
  },
  top: {
    summary: 'watch clients, command rates, latencies, and the command that blocks',
    load: async () => (await import('./commands/inspect/top.js')).top,
  },
  kill: {
    summary: 'disconnect clients',
    load: async () => (await import('./commands/inspect/kill.js')).kill,
  },
  demo: {
    summary: 'try qmpmux with a VM that it starts, or with yours',
    load: async () => (await import('./commands/demo.js')).demo,
  },
  completion: {
    summary: 'print the completion script for bash or zsh',
    load: async () => (await import('./commands/completion.js')).completion(loadCommands),
  },
  policy: {
    summary: 'check what a policy allows: test',
    commands: {
      test: {
        summary: 'show which rule of a policy decides on a command',
        load: async () => (await import('./commands/policy-test.js')).policyTest,
      },
    },
  },
  config: {
    summary: 'check config files',
    commands: {
      check: {
        summary: 'check a config file, or a folder of them',
        load: async () => (await import('./commands/serve/config-check.js')).configCheck,
      },
    },
  },
  audit: {
    summary: 'read audit logs: show, verify, stats, replay',
    commands: {
      show: {
        summary: 'show who did what, one line for each command, event or connection',
        load: async () => (await import('./commands/audit/show.js')).auditShow,
      },
      verify: {
        summary: 'check that a log is complete and untampered',
        load: async () => (await import('./commands/audit/verify.js')).auditVerify,
      },
      stats: {
        summary: 'count commands, errors, times and bytes by client and by command',
        load: async () => (await import('./commands/audit/stats.js')).auditStats,
      },
      replay: {
        summary: 'send the commands of a log to a test VM and compare the answers',
        load: async () => (await import('./commands/audit/replay.js')).auditReplay,
      },
    },
  },
};

/** The root of all. */
export const PROGRAM: Group = {
  summary: 'share the one QMP monitor of a QEMU virtual machine among many clients',
  commands: SUBCOMMANDS,
};

export function loadCommands(): Promise<CommandTree> {
  return loadTree(PROGRAM);
}
