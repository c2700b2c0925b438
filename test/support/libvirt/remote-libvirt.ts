/** A libvirt daemon of a test's own that listens on ports of 127.0.0.1, with TLS and without. */
import { execFileSync } from 'node:child_process';
import { appendFileSync, chmodSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from '../daemon/free-port.js';
import { type Libvirt, sessionLibvirt } from './libvirt.js';

export class RemoteLibvirt {
  readonly libvirt: Libvirt;
  readonly tcpPort: number;
  readonly tlsPort: number;
  readonly authority: Authority;

  private constructor(libvirt: Libvirt, tcpPort: number, tlsPort: number) {
    this.libvirt = libvirt;
    this.tcpPort = tcpPort;
    this.tlsPort = tlsPort;
    this.authority = new Authority(join(libvirt.folder, 'pki'));
    this.authority.sign('server', '/CN=localhost', 'DNS:localhost');
    this.authority.sign('client', '/O=qmpmux/CN=client', 'DNS:client');
  }

  /** One that is not started yet. @param settings as for `configure` */
  static async make(settings: readonly string[] = []): Promise<RemoteLibvirt> {
    const libvirt = sessionLibvirt([], ['--listen']);
    const remote = new RemoteLibvirt(libvirt, await freePort(), await freePort());
    remote.configure(settings);
    return remote;
  }

  /** The folder that a client's `pkipath` names: an authority, and a certificate of its. */
  get pki(): string {
    return this.authority.folder;
  }

  /**
   * For the daemon's next start.
   * @param settings more lines of libvirtd.conf
   * @param address where it listens
   * @param certificate whose, of those that the authority has signed
   */
  configure(settings: readonly string[], address = '127.0.0.1', certificate = 'server'): void {
    const { folder } = this.authority;
    const lines = [
      'auth_unix_rw = "none"',
      `listen_addr = "${address}"`,
      'listen_tls = 1',
      'listen_tcp = 1',
      `tls_port = "${this.tlsPort}"`,
      `tcp_port = "${this.tcpPort}"`,
      `key_file = "${folder}/${certificate}key.pem"`,
      `cert_file = "${folder}/${certificate}cert.pem"`,
      `ca_file = "${folder}/cacert.pem"`,
    ];
    writeFileSync(join(this.libvirt.folder, 'libvirtd.conf'), `${[...lines, ...settings].join('\n')}\n`);
  }

  /** A URI by TLS. @param parameters such as `no_verify=1` */
  tls(parameters = '', host = 'localhost', pki = this.pki): string {
    return `qemu+tls://${host}:${this.tlsPort}/session?pkipath=${pki}${parameters === '' ? '' : `&${parameters}`}`;
  }

  /** A URI by TCP. @param parameters such as `authfile=/path` */
  tcp(parameters = ''): string {
    return `qemu+tcp://127.0.0.1:${this.tcpPort}/session${parameters === '' ? '' : `?${parameters}`}`;
  }
}

/** An authority and its certificates, in a new folder, under libvirt's names. */
export class Authority {
  readonly folder: string;

  constructor(folder: string) {
    mkdirSync(folder);
    this.folder = folder;
    const words = ['-x509', '-keyout', 'cakey.pem', '-out', 'cacert.pem', '-subj', '/CN=test authority', '-days', '2'];
    const uses = USES.flatMap((use) => ['-addext', use]);
    this.#openssl('req', ...words, ...KEY, ...uses);
  }

  /**
   * Makes NAMEcert.pem and NAMEkey.pem.
   * @param names as in a subjectAltName
   * @param issuer the authority, or one below it
   */
  sign(name: string, subject: string, names: string, issuer = 'ca'): void {
    this.#sign(name, subject, `subjectAltName=${names}`, issuer);
    // Such a daemon has to send its authority's, too.
    if (issuer !== 'ca') appendFileSync(join(this.folder, `${name}cert.pem`), this.#read(`${issuer}cert.pem`));
  }

  /** Makes an authority below this one. */
  signAuthority(name: string): void {
    this.#sign(name, `/CN=${name}`, USES.join('\n'), 'ca');
  }

  /** Makes cacrl.pem, in which that certificate is revoked. */
  revoke(name: string): void {
    writeFileSync(join(this.folder, 'cacrl.pem'), this.revoked('ca', name));
  }

  /** @returns an authority's list of revoked certificates @param names of those */
  revoked(issuer: string, ...names: readonly string[]): string {
    return this.#list(issuer, names, []);
  }

  /** @returns a list that had to be replaced years ago */
  expiredList(): string {
    return this.#list('ca', [], ['-crl_lastupdate', '20200101000000Z', '-crl_nextupdate', '20200102000000Z']);
  }

  #list(issuer: string, names: readonly string[], dates: readonly string[]): string {
    const settings = ['database=index', 'default_md=sha256', 'default_crl_days=2'];
    const files = [`private_key=${issuer}key.pem`, `certificate=${issuer}cert.pem`];
    writeFileSync(
      join(this.folder, 'ca.conf'),
      ['[ca]', 'default_ca=it', '[it]', ...settings, ...files, ''].join('\n'),
    );
    writeFileSync(join(this.folder, 'index'), '');
    for (const name of names) this.#openssl('ca', '-config', 'ca.conf', '-revoke', `${name}cert.pem`);
    this.#openssl('ca', '-config', 'ca.conf', '-gencrl', '-out', 'list.pem', ...dates);
    return this.#read('list.pem');
  }

  #sign(name: string, subject: string, extensions: string, issuer: string): void {
    const [request, certificate] = [`${name}.csr`, `${name}cert.pem`];
    this.#openssl('req', ...KEY, '-keyout', `${name}key.pem`, '-out', request, '-subj', subject);
    writeFileSync(join(this.folder, 'extensions'), `${extensions}\n`);
    const signing = ['-CA', `${issuer}cert.pem`, '-CAkey', `${issuer}key.pem`, '-CAcreateserial', '-days', '2'];
    this.#openssl('x509', '-req', '-in', request, '-out', certificate, ...signing, '-extfile', 'extensions');
    // Read by the daemon's user.
    chmodSync(join(this.folder, `${name}key.pem`), 0o644);
  }

  #read(name: string): string {
    return readFileSync(join(this.folder, name), 'utf8');
  }

  #openssl(...words: readonly string[]): void {
    execFileSync('openssl', words, { cwd: this.folder, stdio: 'pipe' });
  }
}

const KEY = ['-newkey', 'rsa:2048', '-nodes', '-batch'];
/** Of an authority's certificate. */
const USES = ['basicConstraints=critical,CA:true', 'keyUsage=critical,keyCertSign,cRLSign'];
