/**
 * The answers due to a client, computed only from the bytes it sent: by the reference reader, one client at a time, as if it
 * were alone on a QEMU that answers every command with its name and arguments.
 */
import assert from 'node:assert/strict';
import { judged, quoted, ReferenceReader } from './reference-reader.js';

/** One message that is due. */
interface Due {
  /** The lines it may be, without CRLF. */
  readonly lines: readonly string[];
  readonly oob: boolean;
  /** Place of its command in the client's input. */
  readonly place: number;
  /** If this is the line that came, nothing more is due in-band. */
  readonly last: string | null;
}

/** A command that QEMU is to execute. */
export interface Executed {
  readonly name: string;
  readonly args: string;
  readonly oob: boolean;
}

const EXPECTING = "Expecting capabilities negotiation with 'qmp_capabilities'";
const REFUSAL = 'qmpmux cannot record this command, so it was not run: ';

/** @returns the scripted QEMU's answer to a command, with this id (null for none). */
export function scriptedReply(name: string, args: string, id: string | null): string {
  if (name.startsWith('fail')) return errorLine(id, 'GenericError', `${name} ${args}`);
  return `{"return": {"name": ${quoted(name)}, "args": ${args}}${id === null ? '' : `, "id": ${id}`}}`;
}

function errorLine(id: string | null, errorClass: string, desc: string): string {
  const member = id === null ? '' : `"id": ${id}, `;
  return `{${member}"error": {"class": "${errorClass}", "desc": ${quoted(desc)}}}`;
}

/** @returns whether the scripted QEMU ends after its answer to the command, as QEMU does. */
export function isQuit({ name, oob }: { readonly name: string; readonly oob: boolean }): boolean {
  return name === 'quit' && !oob;
}

export class ClientModel {
  readonly executed: Executed[] = [];
  isNegotiated = false;
  readonly #reader = new ReferenceReader();
  readonly #due: Due[] = [];
  readonly #trouble: string;
  #isOobEnabled = false;

  /** @param trouble the error of an observer that could not record a command; a client may get it in place of an answer */
  constructor(trouble: string) {
    this.#trouble = trouble;
  }

  /** The client has sent these bytes (latin1). */
  sent(text: string): void {
    for (const outcome of this.#reader.read(text)) {
      const said = judged(outcome, this.#isOobEnabled);
      const place = this.#due.length;
      if ('error' in said) {
        const oob = said.oob && this.#isOobEnabled;
        this.#due.push({ lines: [errorLine(said.id, 'GenericError', said.error)], oob, place, last: null });
      } else if (this.isNegotiated) {
        const { name, args, id, oob } = said;
        const reply = scriptedReply(name, args, id);
        const lines = [reply, errorLine(id, 'GenericError', REFUSAL + this.#trouble)];
        this.#due.push({ lines, oob, place, last: isQuit(said) ? reply : null });
        this.executed.push({ name, args, oob });
      } else if (said.name !== 'qmp_capabilities') {
        this.#due.push({ lines: [errorLine(said.id, 'CommandNotFound', EXPECTING)], oob: false, place, last: null });
      } else {
        assert.ok(said.args === '{}' || said.args === '{"enable": ["oob"]}', 'the model knows no other negotiation');
        this.isNegotiated = true;
        this.#isOobEnabled = said.args !== '{}';
        const id = said.id === null ? '' : `, "id": ${said.id}`;
        this.#due.push({ lines: [`{"return": {}${id}}`], oob: false, place, last: null });
      }
    }
  }

  /**
   * Fails unless `received` (without greeting and events) is due to the client: all in-band answers in order, the
   * out-of-band ones in theirs, each of which before the answer to anything that was sent after it. After an executed `quit` no
   * in-band answer is due.
   * @param isAll whether all of it must have come; otherwise the beginning is enough
   */
  check(received: readonly string[], isAll: boolean): void {
    const inBand = this.#due.filter((due) => !due.oob);
    const oob = this.#due.filter((due) => due.oob);
    // Two lines may read the same, so every possible assignment is followed: how many answers of either kind have come.
    let ways = new Map<string, readonly [number, number]>([['0 0', [0, 0]]]);
    for (const [at, line] of received.entries()) {
      const next = new Map<string, readonly [number, number]>();
      for (const [inBandDone, oobDone] of ways.values()) {
        const due = inBand[inBandDone];
        const dueOob = oob[oobDone];
        if (dueOob?.lines.includes(line) === true) next.set(`${inBandDone} ${oobDone + 1}`, [inBandDone, oobDone + 1]);
        const isInTurn = dueOob === undefined || due === undefined || dueOob.place > due.place;
        if (isInTurn && due?.lines.includes(line) === true) {
          const done = due.last === line ? Number.POSITIVE_INFINITY : inBandDone + 1;
          next.set(`${done} ${oobDone}`, [done, oobDone]);
        }
      }
      if (next.size === 0) {
        const due = [...ways.values()].flatMap(([a, b]) => [inBand[a]?.lines[0], oob[b]?.lines[0]]);
        assert.fail(`answer ${at} is not due: ${line}\ndue was one of\n${due.join('\n')}`);
      }
      ways = next;
    }
    const isComplete = ways.has(`${inBand.length} ${oob.length}`);
    assert.ok(isComplete || !isAll, `${received.length} of ${this.#due.length} answers have come`);
  }
}
