/**
 * Missed events from qmpmux's ring, then later ones; none is lost or shown twice: an incoming event only signals that there is
 * something to ask for. So a number is never guessed, and a slow reader of our output loses nothing that the ring still has.
 */
import { type QmpEvent, readEvent } from '../../client/messages.js';
import { findItems, findMembers } from '../../client/reply-members.js';
import { isJsonObject, type JsonObject, parseJson } from '../../qmp/json/value.js';
import { Report } from '../screen/json-view.js';
import { showCount } from '../screen/quantities.js';
import type { OwnCommands } from './inspect/extension-client.js';

/** An event's number, of one life of qmpmux; null where that is not known. */
export interface Position {
  readonly number: number;
  readonly instance: string | null;
}

/** `seen` says only up to where everything was looked at. `text` is JSON as qmpmux wrote it, nothing where that says nothing. */
export type MissedItem = { readonly position: Position; readonly text: string } & (
  | { readonly kind: 'event'; readonly event: QmpEvent }
  | { readonly kind: 'gap'; readonly what: string }
  | { readonly kind: 'seen' }
);

/** Rung any number of times, heard once. */
class Bell {
  #isRung = false;
  #wake: () => void = () => {};

  ring(): void {
    this.#isRung = true;
    this.#wake();
  }

  /** Resolves when it is rung, or has been since the last time. */
  async rung(): Promise<void> {
    if (!this.#isRung) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#isRung = false;
  }
}

/**
 * The events after `since`, oldest first.
 * @param goesOn whether to wait for more when all are shown, until the connection ends
 * @throws the reason of `signal`, and the errors of asking
 */
export async function* missedEvents(
  commands: OwnCommands,
  since: Position,
  goesOn: boolean,
  signal: AbortSignal,
): AsyncGenerator<MissedItem> {
  const { client } = commands;
  const bell = new Bell();
  client.on('event', () => bell.ring());
  client.once('close', () => bell.ring());
  signal.addEventListener('abort', () => bell.ring(), { once: true });
  let position = since;
  for (;;) {
    signal.throwIfAborted();
    const { number, instance } = position;
    const { text } = await commands.ask('query-events', { since: number, ...(instance === null ? {} : { instance }) });
    for (const item of itemsOf(Buffer.from(text), number)) {
      position = item.position;
      yield item;
    }
    if (!goesOn) return;
    await bell.rung();
    if (client.state.name === 'closed') {
      const error = await client.closed;
      if (error !== null) throw error;
      return;
    }
  }
}

/** @param returned the result of query-events, as it was written */
function* itemsOf(returned: Buffer, since: number): Generator<MissedItem> {
  const report = new Report(valueOf(returned));
  const instance = report.at('instance').text;
  if (report.at('restarted').isTrue) {
    const what = `gap: event ${since} is not known here: qmpmux was restarted, or the number is wrong`;
    yield { kind: 'gap', what, text: `{"restarted": "${instance}"}`, position: { number: 0, instance } };
  }
  const list = findMembers(returned)?.find(({ name }) => name === 'events');
  const bytes = list === undefined ? returned.subarray(0, 0) : returned.subarray(list.valueStart, list.end);
  for (const { start, end } of findItems(bytes) ?? []) {
    const item = bytes.subarray(start, end);
    const members = new Report(valueOf(item));
    const gap = members.at('gap');
    if (gap.isThere) {
      const [first, last] = [gap.at('first').number, gap.at('last').number];
      const which = first === last ? `#${first}` : `#${first} to #${last}`;
      const what = `gap: ${showCount(last - first + 1, 'event')} not kept, ${which}`;
      yield { kind: 'gap', what, text: item.toString(), position: { number: last, instance } };
      continue;
    }
    const event = findMembers(item)?.find(({ name }) => name === 'event');
    if (event === undefined) continue;
    const message = item.subarray(event.valueStart, event.end);
    yield {
      kind: 'event',
      event: readEvent(members.at('event', 'event').text, valueOf(message), message),
      text: item.toString(),
      position: { number: members.at('seq').number, instance },
    };
  }
  yield { kind: 'seen', text: '', position: { number: report.at('last').number, instance } };
}

function valueOf(bytes: Buffer): JsonObject {
  const parsed = parseJson(bytes.toString());
  return parsed.ok && isJsonObject(parsed.value) ? parsed.value : {};
}
