/** Logging in to a libvirt daemon, by the way that it asks for. */
import type { LogIn } from '../address/libvirt-uri.js';
import { Action, ask, demand, describeFault, isLogInRefused, LibvirtRefusal } from './calls.js';
import { credentialsFile, exposedMode, readCredentials } from './credentials.js';
import { type LibvirtRpc, Program, type RpcAnswer } from './rpc.js';
import { chooseMechanism } from './sasl.js';
import type { SaslExchange } from './sasl-exchange.js';
import { XdrReader, XdrWriter } from './xdr.js';

/** Of src/remote/remote_protocol.x. */
const Procedure = {
  supportsFeature: 60,
  authList: 66,
  saslInit: 67,
  saslStart: 68,
  saslStep: 69,
  authPolkit: 70,
} as const;
/** VIR_DRV_FEATURE_PROGRAM_KEEPALIVE. */
const KEEP_ALIVE_FEATURE = 10;
const Auth = { none: 0, sasl: 1, polkit: 2 } as const;
/** REMOTE_AUTH_SASL_DATA_MAX. */
const MOST_SASL_BYTES = 65_536;
/** More than any mechanism has. */
const MOST_SASL_STEPS = 10;

/** Called with a file that holds a password and that others can read too, and with its mode. */
type Exposed = (file: string, mode: string) => void;

/** Logs in. Never resolves when the connection ends meanwhile. @throws LibvirtRefusal with the reason */
export async function logIn(rpc: LibvirtRpc, wish: LogIn, exposed: Exposed): Promise<void> {
  const list = await demand(rpc, Program.remote, Procedure.authList, new XdrWriter(), Action.open);
  const offered = Array.from({ length: Math.min(list.unsigned(), 20) }, () => list.int());
  const kinds = offered.length === 0 ? [Auth.none] : offered;
  const wanted = wish.way === null ? null : Auth[wish.way.kind];
  if (wish.way !== null && wanted !== null && !kinds.includes(wanted)) {
    const ways = kinds.map((kind) => Object.entries(Auth).find(([, code]) => code === kind)?.[0] ?? String(kind));
    throw new LibvirtRefusal(`libvirt does not offer the log-in auth=${wish.way.kind}, only ${ways.join(', ')}`);
  }
  const kind = wanted ?? [Auth.none, Auth.polkit, Auth.sasl].find((known) => kinds.includes(known));
  if (kind === Auth.none) return;
  if (kind === Auth.polkit) await demand(rpc, Program.remote, Procedure.authPolkit, new XdrWriter(), Action.open);
  else if (kind === Auth.sasl) await logInBySasl(rpc, wish, exposed);
  else throw new LibvirtRefusal(`libvirt asks for a log-in method that qmpmux does not know (${kinds.join(', ')})`);
}

/**
 * Tells the daemon that we answer when it asks whether we are there; then it does, and notices when we are not. It may demand that
 * (`keepalive_required`). Never resolves when the connection ends meanwhile.
 */
export async function offerKeepAlive(rpc: LibvirtRpc): Promise<void> {
  await ask(rpc, Program.remote, Procedure.supportsFeature, new XdrWriter().int(KEEP_ALIVE_FEATURE));
}

async function logInBySasl(rpc: LibvirtRpc, { host, file, way, wire }: LogIn, exposed: Exposed): Promise<void> {
  const init = await demand(rpc, Program.remote, Procedure.saslInit, new XdrWriter(), Action.open);
  const offered = init
    .text()
    .split(/[\s,]+/)
    .filter((name) => name !== '');
  const wanted = way?.kind === 'sasl' ? way.mechanism : null;
  const mechanism = chooseMechanism(offered, wire, wanted);
  if (typeof mechanism === 'string') {
    const advice =
      wire === 'clear' ? '; without TLS, libvirt demands one that encrypts: use qemu+tls:// or qemu+ssh://' : '';
    throw new LibvirtRefusal(`libvirt asks for a log-in by SASL: ${mechanism}${advice}`);
  }
  const path = credentialsFile(file);
  const credentials = readCredentials(path, host);
  if (typeof credentials === 'string') {
    throw new LibvirtRefusal(`libvirt asks for a name and a password: ${credentials}`);
  }
  const mode = exposedMode(path);
  if (mode !== null) exposed(path, mode);
  const exchange = mechanism.make(credentials);
  const start = new XdrWriter().text(mechanism.name);
  let answer = await ask(rpc, Program.remote, Procedure.saslStart, writeData(start, exchange.begin()));
  for (let steps = 0; ; steps++) {
    const { isComplete, data } = readStep(answer, mechanism.name, path);
    // The last message may hold the server's proof.
    if (isComplete && exchange.isSatisfied) return;
    const reply = await proceed(exchange, data, isComplete);
    if (isComplete && exchange.isSatisfied) return;
    if (isComplete || steps === MOST_SASL_STEPS) throw new LibvirtRefusal('libvirt’s log-in does not end');
    answer = await ask(rpc, Program.remote, Procedure.saslStep, writeData(new XdrWriter(), reply));
  }
}

async function proceed(exchange: SaslExchange, data: Uint8Array, isComplete: boolean): Promise<Uint8Array> {
  const step = await exchange.answer(data);
  if (step.ok) return step.bytes;
  const when = isComplete ? 'it accepted us, but ' : '';
  throw new LibvirtRefusal(`this libvirt failed to prove that it knows the password: ${when}${step.problem}`);
}

function readStep(
  answer: RpcAnswer,
  mechanism: string,
  path: string,
): { readonly isComplete: boolean; readonly data: Uint8Array } {
  if (!answer.ok) {
    const { fault } = answer;
    throw new LibvirtRefusal(
      isLogInRefused(fault)
        ? `permission denied by libvirt (${fault.message}, by ${mechanism}): check the name and the password in ${path}`
        : describeFault(fault, Action.open),
    );
  }
  const isComplete = answer.body.int() !== 0;
  answer.body.int();
  return { isComplete, data: readData(answer.body) };
}

/** `char data<>`: each byte is a word. */
function writeData(body: XdrWriter, data: Uint8Array): XdrWriter {
  // Nothing and an empty text are two things to SASL; ours is always a text.
  body.int(0).int(data.length);
  for (const byte of data) body.int(byte);
  return body;
}

function readData(body: XdrReader): Uint8Array {
  return Uint8Array.from({ length: Math.min(body.unsigned(), MOST_SASL_BYTES) }, () => body.int() & 0xff);
}
