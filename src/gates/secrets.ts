import type { Finding } from '../domain/gate.ts';
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

interface Pattern {
  readonly name: string;
  readonly form: RegExp;
  /** The group that must not look made up. */
  readonly value?: number;
}

/** Only forms that an issuer made recognisable, and assignments whose value is plainly random. Each is linear in the line. */
const patterns: readonly Pattern[] = [
  { name: 'an AWS access key', form: /\b((?:AKIA|ASIA)[A-Z2-7]{16})\b/, value: 1 },
  { name: 'a GitHub token', form: /\b(gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})\b/, value: 1 },
  { name: 'a GitLab token', form: /\b(glpat-[A-Za-z0-9_-]{20,64})\b/, value: 1 },
  { name: 'a Slack token', form: /\b(xox[abprs]-\d{8,14}-[A-Za-z0-9-]{20,200})/, value: 1 },
  { name: 'a Slack webhook', form: /hooks\.slack\.com\/services\/T[A-Z0-9]{8,12}\/B[A-Z0-9]{8,12}\/([A-Za-z0-9]{24})\b/, value: 1 },
  { name: 'an Anthropic key', form: /\b(sk-ant-(?:api|admin)\d{2}-[A-Za-z0-9_-]{80,120})/, value: 1 },
  { name: 'an OpenAI key', form: /\b(sk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{20,100}T3BlbkFJ[A-Za-z0-9_-]{20,100})/, value: 1 },
  { name: 'a Stripe key', form: /\b([sr]k_live_[A-Za-z0-9]{24,120})\b/, value: 1 },
  { name: 'a Google API key', form: /\b(AIza[A-Za-z0-9_-]{35})(?![A-Za-z0-9_-])/, value: 1 },
  { name: 'an npm token', form: /\b(npm_[A-Za-z0-9]{36})\b/, value: 1 },
  { name: 'a PyPI token', form: /\b(pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,250})/, value: 1 },
  { name: 'a Telegram bot token', form: /\b(\d{8,10}:AA[A-Za-z0-9_-]{33})(?![A-Za-z0-9_-])/, value: 1 },
  { name: 'a password in an address', form: /\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s/:@'"]{1,100}:([^\s/:@'"]{8,200})@[a-z0-9.-]+/i, value: 1 },
];

const assignment =
  /(?:api[_-]?key|secret|token|passw(?:or)?d|private[_-]?key|access[_-]?key)["']?\s{0,4}[:=]\s{0,4}["']([A-Za-z0-9+/_=.-]{20,200})["']/i;
const keyBegins = /-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----/;
const base64Line = /[A-Za-z0-9+/]{40,}={0,2}/;

export function secretsIn(added: readonly ChangedLine[]): readonly Finding[] {
  return added.flatMap((line, index) => {
    const name = secretIn(line.text) ?? (isPrivateKey(added, index) ? 'a private key' : undefined);
    return name === undefined ? [] : [{ path: line.path, line: line.line, text: `looks like ${name}` }];
  });
}

function secretIn(text: string): string | undefined {
  for (const { name, form, value } of patterns) {
    const found = form.exec(text);
    if (found && !isMadeUp(found[value ?? 0] ?? '')) return name;
  }
  const assigned = assignment.exec(text)?.[1];
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

/** Letters of both cases and digits, spread as chance spreads them. */
function isRandom(value: string): boolean {
  if (!/[a-z]/.test(value) || !/[A-Z]/.test(value) || !/\d/.test(value)) return false;
  const counts = new Map<string, number>();
  for (const char of value) counts.set(char, (counts.get(char) ?? 0) + 1);
  const entropy = [...counts.values()].reduce((sum, count) => sum - (count / value.length) * Math.log2(count / value.length), 0);
  return entropy >= 3.9;
}
