import type { Finding } from '../domain/gate.ts';
import type { ChangedLine } from '../workspace/diff.ts';
import { evidence, type Gate } from './gate.ts';
import { isTest } from './test-files.ts';

/** What an added line opens to attackers. Only forms that are hardly ever meant well are red; others are told, for whoever reviews. */
export const securityGate: Gate = {
  id: 'security',
  kind: 'security',
  async check({ change }) {
    const search = searchForWeaknesses();
    const read = await change?.eachAdded(search.look);
    if (read?.ok === false) return read;
    const { grave, told } = search;
    const findings = [...grave.first, ...told.first];
    const [worst] = grave.first;
    if (worst) {
      const summary = `${grave.count === 1 ? 'An added line opens' : `${grave.count} added lines open`} a way to attackers: ${worst.text}.`;
      return evidence({ passed: false, summary, findings, signature: `security:${worst.path}:${worst.text}` });
    }
    const summary = told.count === 0 ? 'No known weakness is added.' : 'No grave weakness is added; look at these.';
    return evidence({ passed: true, summary, findings });
  },
};

type Language = 'js' | 'python' | 'go' | 'rust' | 'java' | 'php';
const endings: readonly (readonly [RegExp, Language])[] = [
  [/\.(?:[cm]?[jt]sx?|vue|svelte)$/, 'js'],
  [/\.py$/, 'python'],
  [/\.go$/, 'go'],
  [/\.rs$/, 'rust'],
  [/\.(?:java|kt|scala)$/, 'java'],
  [/\.php$/, 'php'],
];

interface Rule {
  readonly text: string;
  readonly form: RegExp;
  /** All of them when left out. */
  readonly of?: Language;
  readonly grave: boolean;
}

/** Where what is put into a text may come from a stranger. */
const fromOutside = String.raw`(?:req|request|params|query|body|argv|input|user|event\.data|location|cookies?)\b`;
const sql = String.raw`\s{0,20}(?:select\s|insert\s+into\s|update\s|delete\s+from\s)`;
const sqlCall = String.raw`\b(?:query|execute|executemany|raw|prepare|executeQuery|executeUpdate|QueryRow|Query|Exec)\s?\(\s{0,20}`;

/** Each is linear in the line, or nearly: repetitions are bounded. */
const rules: readonly Rule[] = [
  { text: 'switches off the check of TLS certificates', form: /\brejectUnauthorized\s{0,4}:\s{0,4}false\b/, of: 'js', grave: true },
  {
    text: 'switches off the check of TLS certificates',
    form: /\bNODE_TLS_REJECT_UNAUTHORIZED\b['"\]]{0,2}\s{0,4}[=:]\s{0,4}['"]?0/,
    grave: true,
  },
  {
    text: 'switches off the check of TLS certificates',
    form: /\bverify\s?=\s?False\b|\b_create_unverified_context\b|\bssl\.CERT_NONE\b/,
    of: 'python',
    grave: true,
  },
  { text: 'switches off the check of TLS certificates', form: /\bInsecureSkipVerify\s?:\s{0,8}true\b/, of: 'go', grave: true },
  {
    text: 'switches off the check of TLS certificates',
    form: /\bdanger_accept_invalid_(?:certs|hostnames)\(true\)/,
    of: 'rust',
    grave: true,
  },
  {
    text: 'switches off the check of TLS certificates',
    form: /\bCURLOPT_SSL_VERIFY(?:PEER|HOST)\s?(?:,|=>)\s?(?:0|false)\b/i,
    of: 'php',
    grave: true,
  },

  {
    text: 'puts a value into a shell command',
    form: /(?<![.\w])(?:exec|execSync)\s?\(\s?(?:`[^`]{0,500}\$\{|'[^']{0,500}'\s?\+|"[^"]{0,500}"\s?\+)/,
    of: 'js',
    grave: true,
  },
  {
    text: 'puts a value into a shell command',
    form: /\b(?:child_process|cp)\.exec(?:Sync)?\s?\(\s?(?:`[^`]{0,500}\$\{|'[^']{0,500}'\s?\+|"[^"]{0,500}"\s?\+)/,
    of: 'js',
    grave: true,
  },
  {
    text: 'puts a value into a shell command',
    form: /\bos\.(?:system|popen)\s?\(\s?(?:f['"][^'"]{0,500}\{|['"][^'"]{0,500}['"]\s?(?:%|\+|\.format))/,
    of: 'python',
    grave: true,
  },
  {
    text: 'puts a value into a shell command',
    form: /\bsubprocess\.\w{1,20}\(\s?(?:f['"][^'"]{0,500}\{|['"][^'"]{0,500}['"]\s?(?:%|\+|\.format)).{0,500}\bshell\s?=\s?True/,
    of: 'python',
    grave: true,
  },
  {
    text: 'puts a value into a shell command',
    form: /\bexec\.Command(?:Context)?\([^)]{0,100}"-c",\s?(?:fmt\.Sprintf|"[^"]{0,500}"\s?\+)/,
    of: 'go',
    grave: true,
  },
  { text: 'puts a value into a shell command', form: /\bRuntime\.getRuntime\(\)\.exec\(\s?"[^"]{0,500}"\s?\+/, of: 'java', grave: true },

  {
    text: 'puts a value into SQL',
    form: new RegExp(`${sqlCall}\`${sql}[^\`]{0,500}\\$\\{(?!\\w{0,40}(?:placeholder|column|table|marks|order))`, 'i'),
    of: 'js',
    grave: true,
  },
  { text: 'puts a value into SQL', form: new RegExp(`${sqlCall}["']${sql}[^"']{0,500}["'][^)]{0,3}\\s?\\+\\s?\\w`, 'i'), grave: true },
  { text: 'puts a value into SQL', form: new RegExp(`${sqlCall}f["']{1,3}${sql}[^"]{0,500}\\{`, 'i'), of: 'python', grave: true },
  {
    text: 'puts a value into SQL',
    form: new RegExp(`${sqlCall}["']${sql}[^"]{0,500}["']\\s?(?:%\\s?[\\w(]|\\.format)`, 'i'),
    of: 'python',
    grave: true,
  },
  { text: 'puts a value into SQL', form: new RegExp(`${sqlCall}(?:ctx,\\s?)?fmt\\.Sprintf\\(\\s?["\`]${sql}`, 'i'), of: 'go', grave: true },

  {
    text: 'runs what came from outside as code',
    form: new RegExp(`(?<![.\\w])(?:eval|exec|new Function)\\s?\\([^)]{0,100}\\b${fromOutside}`),
    grave: true,
  },
  {
    text: 'unpacks what came from outside into objects',
    form: new RegExp(`\\bpickle\\.loads?\\([^)]{0,100}\\b${fromOutside}`),
    of: 'python',
    grave: true,
  },
  {
    text: 'takes tokens that nobody signed',
    form: /\balgorithms?\s?[:=]\s?\[?\s?['"]none['"]|['"]verify_signature['"]\s?:\s?False/i,
    grave: true,
  },

  { text: 'runs a text as code', form: /(?<![.\w])eval\s?\(\s?(?!['"`)])|\bnew Function\s?\(/, of: 'js', grave: false },
  { text: 'runs a text as code', form: /(?<![.\w])(?:eval|exec)\s?\(\s?(?!['")])/, of: 'python', grave: false },
  { text: 'starts a shell', form: /\bshell\s?[:=]\s?[Tt]rue\b/, grave: false },
  { text: 'may load any object from YAML', form: /\byaml\.load\((?!.{0,200}SafeLoader)/, of: 'python', grave: false },
  { text: 'unpacks objects', form: /\bpickle\.loads?\(/, of: 'python', grave: false },
  { text: 'puts a text into a page as it is', form: /\bdangerouslySetInnerHTML\b|\.innerHTML\s?=|\bv-html\b/, of: 'js', grave: false },
  {
    text: 'draws a secret from a source that can be guessed',
    form: /\b\w{0,30}(?:token|secret|passw|nonce|session)\w{0,30}\s?[:=].{0,200}\bMath\.random\(/i,
    of: 'js',
    grave: false,
  },
  {
    text: 'hashes a password in a way that is quickly undone',
    form: /\b(?:md5|sha1)\b.{0,100}passw|passw.{0,100}\b(?:md5|sha1)\b/i,
    grave: false,
  },
  { text: 'lets everybody write', form: /\bchmod\w{0,10}\b.{0,100}\b0?o?777\b/, grave: false },
];

const toldFindings = 20;

interface Tally {
  readonly first: Finding[];
  count: number;
}

export function searchForWeaknesses(): { readonly look: (line: ChangedLine) => void; readonly grave: Tally; readonly told: Tally } {
  const [grave, told]: [Tally, Tally] = [
    { first: [], count: 0 },
    { first: [], count: 0 },
  ];
  let at: { readonly path: string; readonly line: number; readonly language: Language | undefined } | undefined;
  return {
    grave,
    told,
    look({ path, line, text }) {
      const goesOn = path === at?.path && line === at.line;
      const language = path === at?.path ? at.language : endings.find(([ending]) => ending.test(path))?.[1];
      at = { path, line, language };
      if (language === undefined || (!goesOn && isComment(text))) return;
      const rule = rules.find((each) => (each.of === undefined || each.of === language) && each.form.test(text));
      if (!rule) return;
      // Tests of a guard have to show what it guards against.
      const tally = rule.grave && !isTest(path) ? grave : told;
      const last = tally.first.at(-1);
      if (last?.path === path && last.line === line) return; // once more in the next piece of a long line
      tally.count += 1;
      if (tally.first.length < toldFindings) tally.first.push({ path, line, text: rule.text });
    },
  };
}

/** A comment that ends before the line does hides nothing. */
const isComment = (text: string): boolean => /^\s*(?:\/\/|#|\*(?!\/)|\/\*)/.test(text) && !/\*\/\s*\S/.test(text);
