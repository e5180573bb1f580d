import type { Finding } from '../domain/gate.ts';
import { isRandom, secretAssignment, secretForms } from '../domain/secret-forms.ts';
import type { ChangedLine } from '../workspace/diff.ts';
import { evidence, type Gate } from './gate.ts';

/** Credentials that a line adds are told by kind and place, never by value. */
export const secretsGate: Gate = {
  id: 'secrets',
  kind: 'secrets',
  async check({ change }) {
    const findings = secretsIn((change?.lines ?? []).filter(({ kind }) => kind === 'added'));
    if (findings.length === 0) {
      const unread = change?.linesTruncated ? ' in what was read of it, which is not all' : '';
      return evidence({ passed: true, summary: `No secret is added${unread}.` });
    }
    return evidence({
      passed: false,
      summary: `${findings.length === 1 ? 'What looks like a secret is' : `${findings.length} things that look like secrets are`} added.`,
      findings: findings.slice(0, 20),
      signature: `secrets:${findings[0]?.path ?? ''}:${findings[0]?.text ?? ''}`,
    });
  },
};

const keyBegins = /-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----/;
const base64Line = /[A-Za-z0-9+/]{40,}={0,2}/;

export function secretsIn(added: readonly ChangedLine[]): readonly Finding[] {
  return added.flatMap((line, index) => {
    const name = secretIn(line.text) ?? (isPrivateKey(added, index) ? 'a private key' : undefined);
    return name === undefined ? [] : [{ path: line.path, line: line.line, text: `looks like ${name}` }];
  });
}

function secretIn(text: string): string | undefined {
  for (const { name, form } of secretForms) {
    const found = form.exec(text)?.[1];
    if (found !== undefined && !isMadeUp(found)) return name;
  }
  const assigned = secretAssignment.exec(text)?.[1];
  return assigned !== undefined && !isMadeUp(assigned) && isRandom(assigned) ? 'a secret' : undefined;
}

/** The first line of a key alone is in every text about keys; with what follows it is one. */
function isPrivateKey(added: readonly ChangedLine[], index: number): boolean {
  const first = added[index];
  if (!first || !keyBegins.test(first.text)) return false;
  const after = first.text.slice(first.text.search(keyBegins) + 20);
  const following = added.slice(index + 1, index + 5).filter(({ path }) => path === first.path);
  return [after, ...following.map(({ text }) => text)].some((text) => base64Line.test(text) && !isMadeUp(text));
}

/** What people write where a secret would stand. */
const isMadeUp = (value: string): boolean =>
  /example|sample|dummy|placeholder|changeme|redacted|your[_-]|test|fake|foobar|password|secret|xxxx|\*{3}|\.{3}|…|<|>|\$\{|\{\{|^\$|%\w+%|0123456789|1234567890|abcdef/i.test(
    value,
  ) || new Set(value).size < 6;
