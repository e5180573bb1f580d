interface SecretForm {
  readonly name: string;
  /** Its first group is the secret. Linear in the text. */
  readonly form: RegExp;
}

/** Only forms that an issuer made recognisable; an assignment besides, when its value is plainly random. */
export const secretForms: readonly SecretForm[] = [
  { name: 'an AWS access key', form: /\b((?:AKIA|ASIA)[A-Z2-7]{16})\b/ },
  { name: 'a GitHub token', form: /\b(gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{59})\b/ },
  { name: 'a GitLab token', form: /\b(glpat-[A-Za-z0-9_-]{20,64})\b/ },
  { name: 'a Slack token', form: /\b(xox[abprs]-\d{8,14}-[A-Za-z0-9-]{20,200})/ },
  { name: 'a Slack webhook', form: /hooks\.slack\.com\/services\/T[A-Z0-9]{8,12}\/B[A-Z0-9]{8,12}\/([A-Za-z0-9]{24})\b/ },
  { name: 'an Anthropic key', form: /\b(sk-ant-(?:api|admin)\d{2}-[A-Za-z0-9_-]{80,120})/ },
  { name: 'an OpenAI key', form: /\b(sk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{20,100}T3BlbkFJ[A-Za-z0-9_-]{20,100})/ },
  { name: 'a Stripe key', form: /\b([sr]k_live_[A-Za-z0-9]{24,120})\b/ },
  { name: 'a Google API key', form: /\b(AIza[A-Za-z0-9_-]{35})(?![A-Za-z0-9_-])/ },
  { name: 'an npm token', form: /\b(npm_[A-Za-z0-9]{36})\b/ },
  { name: 'a PyPI token', form: /\b(pypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{50,250})/ },
  { name: 'a Telegram bot token', form: /\b(\d{8,10}:AA[A-Za-z0-9_-]{33})(?![A-Za-z0-9_-])/ },
  { name: 'a password in an address', form: /\b[a-z][a-z0-9+.-]{1,20}:\/\/[^\s/:@'"]{1,100}:([^\s/:@'"]{8,200})@[a-z0-9.-]+/i },
];

/** Something that is called a secret, and its value. */
export const secretAssignment =
  /(?:api[_-]?key|secret|token|passw(?:or)?d|private[_-]?key|access[_-]?key)["']?\s{0,4}[:=]\s{0,4}["']([A-Za-z0-9+/_=.-]{20,200})["']/i;

const everywhere = secretForms.map(({ form }) => new RegExp(form, `${form.flags}g`));
const assignments = new RegExp(secretAssignment, 'gi');
/** A header begins on a line of its own and ends with it: could it end anywhere, a hostile text would have it tried everywhere. */
const privateKeys =
  /-----BEGIN (?:[A-Z]{2,10} ){0,2}PRIVATE KEY(?: BLOCK)?-----(?:(?:\\n|\r?\n)[ \t]*[\w-]{1,40}: [^\n\\]*)*(?:(?:\\n|\s)*[A-Za-z0-9+/=]{16,})+(?:\\n|\s)*[A-Za-z0-9+/=]*(?:(?:\\n|\s)*-----END [A-Z ]{1,40}-----)?/g;
/** As environments and headers are printed. In code these would be names as often as values. */
const printed = [
  /\b[A-Z][A-Z0-9_]{0,60}(?:KEY|SECRET|TOKEN|PASSWORD|PASSWD)[A-Z0-9_]{0,20}=(?!\d+\b)([^\s'"]{8,500})/g,
  /\b(?:Bearer|Basic) ([A-Za-z0-9._~+/=-]{16,2000})/g,
];

/** The text with whatever looks like a secret blanked: rather a harmless word too many than one secret. */
export function withoutSecrets(text: string): string {
  const blank = (whole: string, secret: string): string =>
    `${whole.slice(0, whole.lastIndexOf(secret))}[secret]${whole.slice(whole.lastIndexOf(secret) + secret.length)}`;
  let blanked = text.replaceAll(privateKeys, '[secret]');
  for (const form of [...everywhere, ...printed]) blanked = blanked.replaceAll(form, blank);
  return blanked.replaceAll(assignments, (whole: string, value: string) => (isRandom(value) ? blank(whole, value) : whole));
}

/** Letters of both cases and digits, spread as chance spreads them. */
export function isRandom(value: string): boolean {
  if (!/[a-z]/.test(value) || !/[A-Z]/.test(value) || !/\d/.test(value)) return false;
  const counts = new Map<string, number>();
  for (const char of value) counts.set(char, (counts.get(char) ?? 0) + 1);
  const entropy = [...counts.values()].reduce((sum, count) => sum - (count / value.length) * Math.log2(count / value.length), 0);
  return entropy >= 3.9;
}
