import { randomUUID } from 'node:crypto';
import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Transport } from './git.ts';
import type { Repository } from './repository.ts';

/** A token and the one place it may be shown to, as `https://host[:port]`. */
export interface HostToken {
  readonly origin: string;
  /** GitHub and most others take any name beside a token; GitLab wants `oauth2`. */
  readonly username?: string;
  readonly token: string;
}

interface SshSettings {
  readonly identityFile?: string;
  readonly knownHostsFile?: string;
}

export interface Credentials {
  /** Lets git reach the repository for as long as `use` takes. Whatever holds the token is gone when it resolves. */
  reaching<T>(repository: Repository, use: (transport: Transport) => Promise<T>): Promise<T>;
}

export interface CredentialsParts {
  /** Closed to everybody but the server; emptied at start, because a crash may have left a token in it. */
  readonly directory: string;
  /** Asked before every call for the repository's address, so a token that was rotated is in force at once. */
  readonly tokens: (repository: string) => readonly HostToken[] | Promise<readonly HostToken[]>;
  readonly ssh?: SshSettings;
}

const askpass = fileURLToPath(new URL('./askpass.sh', import.meta.url));
const anyName = 'x-access-token';

/**
 * A token goes from a file that only the server's user can read, through git's askpass, to the host it belongs to. It is
 * never an argument, part of a URL, a setting of a repository or a variable: those can be listed by others or stay behind.
 */
export async function openCredentials({ directory, tokens, ssh = {} }: CredentialsParts): Promise<Credentials> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true, mode: 0o700 });

  return {
    async reaching(repository, use) {
      const known = await tokens(repository.url);
      const redact = (text: string): string => redacted(text, known);
      if (repository.kind === 'local') return use({ protocols: 'file', env: {}, redact });
      if (repository.kind === 'ssh') return use({ protocols: 'ssh', env: { GIT_SSH_COMMAND: sshCommand(ssh) }, redact });
      const protocols = repository.origin?.startsWith('http://') ? 'http:https' : 'https';
      const found = known.find(({ origin }) => origin.toLowerCase().replace(/\/+$/, '') === repository.origin);
      if (!found || repository.origin === null) return use({ protocols, env: {}, redact });

      const file = join(directory, randomUUID());
      const [scheme, host] = repository.origin.split('://') as [string, string];
      const lines = [scheme, host, found.username ?? anyName, found.token];
      if (lines.some((line) => /[\r\n\0]/.test(line))) throw new TypeError(`the token for ${repository.origin} contains a line break`);
      try {
        await writeFile(file, `${lines.join('\n')}\n`, { mode: 0o600, flag: 'wx' });
        return await use({ protocols, env: { GIT_ASKPASS: askpass, NIGHTSHIFT_ASKPASS_FILE: file }, redact });
      } finally {
        await rm(file, { force: true });
      }
    },
  };
}

/** Without multiplexing: a master connection would outlive the call. Without questions: there is nobody to answer. */
function sshCommand({ identityFile, knownHostsFile }: SshSettings): string {
  const options = [
    'BatchMode=yes',
    `StrictHostKeyChecking=${knownHostsFile === undefined ? 'accept-new' : 'yes'}`,
    'ControlMaster=no',
    'ControlPath=none',
    'ForwardAgent=no',
    'ForwardX11=no',
    'ClearAllForwardings=yes',
    'PermitLocalCommand=no',
    'ConnectTimeout=30',
    'ServerAliveInterval=15',
    ...(knownHostsFile === undefined ? [] : [`UserKnownHostsFile=${knownHostsFile}`]),
    ...(identityFile === undefined ? [] : ['IdentitiesOnly=yes']),
  ];
  return ['ssh', ...options.flatMap((option) => ['-o', option]), ...(identityFile === undefined ? [] : ['-i', identityFile])]
    .map(shellQuoted)
    .join(' ');
}

/** git gives its ssh command to a shell, and a home may have blanks in its name. */
export const shellQuoted = (text: string): string => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`);

/** Also in the forms in which a token travels: in base64 behind its name, or with its special characters escaped. */
function redacted(text: string, tokens: readonly HostToken[]): string {
  return tokens
    .flatMap(({ username, token }) => [token, encodeURIComponent(token), Buffer.from(`${username ?? anyName}:${token}`).toString('base64')])
    .filter((secret) => secret.length >= 4)
    .reduce((clean, secret) => clean.replaceAll(secret, '[secret]'), text);
}
