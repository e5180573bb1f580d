import { describe, expect, test } from 'vitest';
import { searchForWeaknesses } from './security.ts';

const found = (path: string, text: string): string => {
  const { look, grave, told } = searchForWeaknesses();
  look({ path, kind: 'added', line: 1, text });
  return grave.count > 0 ? 'grave' : told.count > 0 ? 'told' : 'nothing';
};
const dollar = '$';

describe('an added line', () => {
  test.each([
    ['a.ts', 'const agent = new Agent({ rejectUnauthorized: false });'],
    ['a.js', "process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';"],
    ['a.py', 'requests.get(url, verify=False)'],
    ['a.go', 'TLSClientConfig: &tls.Config{InsecureSkipVerify: true},'],
    ['a.rs', '.danger_accept_invalid_certs(true)'],
    ['a.php', 'curl_setopt($ch, CURLOPT_SSL_VERIFYPEER, false);'],
    ['a.ts', `exec(\`git log ${dollar}{branch}\`);`],
    ['a.js', "child_process.execSync('rm -rf ' + dir)"],
    ['a.py', 'os.system(f"rm {path}")'],
    ['a.py', 'subprocess.run("ls " + path, shell=True)'],
    ['a.go', 'exec.Command("sh", "-c", "ls "+dir)'],
    ['a.java', 'Runtime.getRuntime().exec("ls " + dir);'],
    ['a.ts', `await db.query(\`SELECT * FROM users WHERE id = ${dollar}{id}\`);`],
    ['a.js', "db.query('select * from users where id = ' + id)"],
    ['a.py', 'cursor.execute(f"SELECT * FROM users WHERE id = {id}")'],
    ['a.py', 'cursor.execute("SELECT * FROM users WHERE id = %s" % id)'],
    ['a.go', 'db.Query(fmt.Sprintf("SELECT * FROM users WHERE id = %s", id))'],
    ['a.ts', 'return eval(req.body.expression);'],
    ['a.ts', '/* harmless */ return eval(req.body.expression);'],
    ['a.py', 'pickle.loads(request.data)'],
    ['a.ts', "jwt.verify(token, key, { algorithms: ['none'] })"],
  ])('of %s is grave: %s', (path, text) => {
    expect(found(path, text)).toBe('grave');
  });

  test.each([
    ['a.ts', 'eval(code)'],
    ['a.ts', "spawn('ls', { shell: true })"],
    ['a.py', 'yaml.load(text)'],
    ['a.tsx', '<p dangerouslySetInnerHTML={{ __html: html }} />'],
    ['a.ts', 'const sessionToken = String(Math.random());'],
    ['a.test.ts', 'new Agent({ rejectUnauthorized: false });'],
  ])('of %s is told: %s', (path, text) => {
    expect(found(path, text)).toBe('told');
  });

  test.each([
    ['a.md', 'exec(`git log $' + '{branch}`);'],
    ['a.ts', '// never: new Agent({ rejectUnauthorized: false })'],
    ['a.ts', `const [, name] = pattern.exec(\`${dollar}{line}\`) ?? [];`],
    ['a.ts', "execFile('git', ['log', branch])"],
    ['a.ts', 'await db.query("SELECT * FROM users WHERE id = $1", [id]);'],
    ['a.ts', `db.prepare(\`select * from t where id in (${dollar}{placeholders})\`)`],
    ['a.py', 'cursor.execute("SELECT * FROM users WHERE id = %s", (id,))'],
    ['a.py', 'yaml.load(text, Loader=yaml.SafeLoader)'],
    ['a.go', 'exec.Command("git", "log", branch)'],
    ['a.ts', 'const evaluation = evaluate(input);'],
    ['a.ts', '/* eval(req.body) */'],
    ['a.ts', ' * eval(req.body)'],
  ])('of %s says nothing: %s', (path, text) => {
    expect(found(path, text)).toBe('nothing');
  });

  test('of great length is looked at to its end, and what stands in two of its pieces is told once', () => {
    const { look, grave } = searchForWeaknesses();
    for (const text of ['// x', `# exec(\`rm ${dollar}{dir}\`)`, `x # exec(\`rm ${dollar}{dir}\`)`])
      look({ path: 'a.min.js', kind: 'added', line: 1, text: text });
    expect(grave.first).toEqual([{ path: 'a.min.js', line: 1, text: 'puts a value into a shell command' }]);
  });

  test('without an end is read as far as it goes, in no time', () => {
    for (const text of ['exec('.repeat(800), "query('select ".repeat(290), `shell ${'x '.repeat(2_000)}`]) found('a.py', text);
  });
});
