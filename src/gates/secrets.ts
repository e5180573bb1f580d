import type { Finding } from '../domain/gate.ts';
import { isRandom, secretAssignment, secretForms } from '../domain/secret-forms.ts';
import type { ChangedLine } from '../workspace/diff.ts';
import { evidence, type Gate } from './gate.ts';

/** Credentials that a line adds are told by kind and place, never by value. */
export const secretsGate: Gate = {
  id: 'secrets',
  kind: 'secrets',
  async check({ change }) {
    const search = searchForSecrets();
    const read = await change?.eachAdded(search.look);
    if (read?.ok === false) return read;
    const { found, first } = search;
    if (found() === 0) return evidence({ passed: true, summary: 'No secret is added.' });
    return evidence({
      passed: false,
      summary: `${found() === 1 ? 'What looks like a secret is' : `${found()} things that look like secrets are`} added.`,
      findings: first,
      signature: `secrets:${first[0]?.path ?? ''}:${first[0]?.text ?? ''}`,
    });
  },
};

const toldFindings = 20;
/** With what a line says beside it. */
const shortestSecret = 16;
const keyBegins = /-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----/;
const base64Line = /[A-Za-z0-9+/]{40,}={0,2}/;
/** Between the first line of a key and its content there may be a header. */
const linesOfHeader = 4;

interface Search {
  /** Each added line, in order. */
  look(line: ChangedLine): void;
  found(): number;
  readonly first: readonly Finding[];
}

export function searchForSecrets(): Search {
  const first: Finding[] = [];
  let count = 0;
  let last = '';
  /** The first line of what may become a key. */
  let begun: { readonly path: string; readonly line: number; left: number }[] = [];

  const tell = (path: string, line: number, name: string): void => {
    const key = `${line} ${name} ${path}`;
    if (key === last) return; // once more in the next piece of a long line
    last = key;
    count += 1;
    if (first.length < toldFindings) first.push({ path, line, text: `looks like ${name}` });
  };

  return {
    first,
    found: () => count,
    look({ path, line, text: written }) {
      const text = written.includes('\0') ? written.replaceAll('\0', '') : written; // UTF-16
      const name = text.length < shortestSecret ? undefined : secretIn(text);
      if (name !== undefined) tell(path, line, name);
      begun = begun.filter((key) => key.path === path && key.left-- > 0);
      if (begun.length > 0 && isKeyContent(text)) {
        for (const key of begun) tell(path, key.line, 'a private key');
        begun = [];
      }
      const begins = text.search(keyBegins);
      if (begins < 0) return;
      if (isKeyContent(text.slice(begins + 20))) tell(path, line, 'a private key');
      else begun.push({ path, line, left: linesOfHeader });
    },
  };
}

function secretIn(text: string): string | undefined {
  for (const { name, form } of secretForms) {
    const found = form.exec(text)?.[1];
    if (found !== undefined && !isMadeUp(found)) return name;
  }
  const assigned = secretAssignment.exec(text)?.[1];
  return assigned !== undefined && !isMadeUp(assigned) && isRandom(assigned) ? 'a secret' : undefined;
}

function isKeyContent(text: string): boolean {
  const content = base64Line.exec(text)?.[0];
  return content !== undefined && !isMadeUp(content);
}

/** What people write where a secret would stand. */
const isMadeUp = (value: string): boolean =>
  /example|sample|dummy|placeholder|changeme|redacted|your[_-]|test|fake|foobar|password|secret|xxxx|\*{3}|\.{3}|…|<|>|\$\{|\{\{|^\$|%\w+%|0123456789|1234567890|abcdef/i.test(
    value,
  ) || new Set(value).size < 6;
