/** QEMU can be built without the human monitor (from 11.2 on). Then QMP does not know the command that carries its lines. */

/** The message for people. */
export const WITHOUT_HMP = 'this QEMU was built without the human monitor (HMP), so only QMP commands can be used';

/** @param description of an error that QEMU answers `human-monitor-command` with (qapi/qmp-dispatch.c) */
export function saysWithoutHmp(description: string): boolean {
  return description.startsWith('The command human-monitor-command has not been found');
}
