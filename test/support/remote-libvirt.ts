/** A libvirt daemon of a test's own that listens on ports of 127.0.0.1, with TLS and without. */
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { freePort } from './free-port.js';
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

  /** @param settings more lines of libvirtd.conf, for the daemon's next start */
  configure(settings: readonly string[]): void {
    const { folder } = this.authority;
    const lines = [
      'auth_unix_rw = "none"',
      'listen_addr = "127.0.0.1"',
      'listen_tls = 1',
      'listen_tcp = 1',
      `tls_port = "${this.tlsPort}"`,
      `tcp_port = "${this.tcpPort}"`,
      `key_file = "${folder}/serverkey.pem"`,
      `cert_file = "${folder}/servercert.pem"`,
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

/** An authority and what it signs, in a new folder, under libvirt's names. */
export class Authority {
  readonly folder: string;

  constructor(folder: string) {
    mkdirSync(folder);
    this.folder = folder;
    const words = ['-x509', '-keyout', 'cakey.pem', '-out', 'cacert.pem', '-subj', '/CN=test authority', '-days', '2'];
    const uses = ['-addext', 'basicConstraints=critical,CA:true', '-addext', 'keyUsage=critical,keyCertSign,cRLSign'];
    this.#openssl('req', ...words, ...KEY, ...uses);
  }

  /** Makes NAMEcert.pem and NAMEkey.pem. @param names as in a subjectAltName */
  sign(name: string, subject: string, names: string): void {
    const [request, certificate] = [`${name}.csr`, `${name}cert.pem`];
    this.#openssl('req', ...KEY, '-keyout', `${name}key.pem`, '-out', request, '-subj', subject);
    writeFileSync(join(this.folder, 'extensions'), `subjectAltName=${names}\n`);
    const signing = ['-CA', 'cacert.pem', '-CAkey', 'cakey.pem', '-CAcreateserial', '-days', '2'];
    this.#openssl('x509', '-req', '-in', request, '-out', certificate, ...signing, '-extfile', 'extensions');
    // Read by the daemon's user.
    chmodSync(join(this.folder, `${name}key.pem`), 0o644);
  }

  /** Makes cacrl.pem, in which that certificate is revoked. */
  revoke(name: string): void {
    const settings = ['database=index', 'default_md=sha256', 'default_crl_days=2'];
    const files = ['private_key=cakey.pem', 'certificate=cacert.pem'];
    writeFileSync(
      join(this.folder, 'ca.conf'),
      ['[ca]', 'default_ca=it', '[it]', ...settings, ...files, ''].join('\n'),
    );
    writeFileSync(join(this.folder, 'index'), '');
    this.#openssl('ca', '-config', 'ca.conf', '-revoke', `${name}cert.pem`);
    this.#openssl('ca', '-config', 'ca.conf', '-gencrl', '-out', 'cacrl.pem');
  }

  #openssl(...words: readonly string[]): void {
    execFileSync('openssl', words, { cwd: this.folder, stdio: 'pipe' });
  }
}

const KEY = ['-newkey', 'rsa:2048', '-nodes', '-batch'];
