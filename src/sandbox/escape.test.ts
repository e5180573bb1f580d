import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createSocket } from 'node:dgram';
import {
  closeSync,
  existsSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { missingSandbox, openTestSandbox, probe, type TestSandbox } from '../../test/support/sandbox.ts';
import { systemClock } from '../platform/clock.ts';
import { start, sweep } from '../platform/subprocess.ts';
import { defaultLimits } from './profile.ts';

const canary = `canary-${process.pid}-${Date.now()}`;
const mebibyte = 2 ** 20;
const asRoot = process.getuid?.() === 0;
const processesLimited = probe.works && (probe.cgroups.processes || !asRoot);
const has = (program: string): boolean => existsSync(program);

describe.skipIf(missingSandbox !== undefined)('an agent that wants out', () => {
  let box: TestSandbox;
  /** Somebody else's process, with a secret in its environment. */
  let bystander: ChildProcess;
  let secret: string;
  let other: string;

  beforeAll(async () => {
    box = await openTestSandbox();
    secret = join(box.home, 'token');
    other = join(box.home, 'runs', 'other', 'work');
    mkdirSync(other, { recursive: true });
    writeFileSync(secret, canary);
    writeFileSync(join(other, 'file'), canary);
    bystander = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 600_000)'], { env: { KEY: canary }, stdio: 'ignore' });
  });
  afterAll(() => {
    bystander.kill('SIGKILL');
    box.remove();
  });

  describe('reading', () => {
    test.each([
      ["the server's key", () => secret],
      ['another run', () => join(other, 'file')],
      ["the server's home", () => `${box.home}/sandbox/entries`],
      ['the home of root', () => '/root/.'],
      ["the owner's keys", () => join(homedir(), '.ssh')],
      ['passwords', () => '/etc/shadow'],
      ["the machine's TLS keys", () => '/etc/ssl/private'],
      ["git's credentials", () => '/etc/gitconfig'],
      ["Docker's socket", () => '/var/run/docker.sock'],
      ["the system's bus", () => '/run/dbus'],
      ['logs', () => '/var/log'],
      ['hardware', () => '/sys/class'],
    ])('finds no %s', async (_, path) => {
      const { code, stdout } = await box.sh('ls -la "$1" || cat "$1"'.replaceAll('"$1"', `'${path()}'`));
      expect(code).not.toBe(0);
      expect(stdout).not.toContain(canary);
    });

    test('finds nobody in /home but itself', async () => {
      expect((await box.sh('ls -A /home')).stdout).toBe('agent\n');
    });

    test('finds the key on no other way to the same place', async () => {
      symlinkSync(secret, join(box.workspace, 'link'));
      symlinkSync(box.home, join(box.workspace, 'linked-home'));
      const ways = [
        'link',
        'linked-home/token',
        ...['self', '1', '2'].flatMap((pid) => ['root', 'cwd'].map((way) => `/proc/${pid}/${way}${secret}`)),
      ];
      const { stdout } = await box.sh(`for way in ${ways.join(' ')} ${'../'.repeat(9)}${secret}; do cat $way; done; ls -R ${box.home}`);
      expect(stdout).not.toContain(canary);
      expect(stdout).not.toContain('token');
    });

    test("finds no other process, and no secret in anybody's environment or memory", async () => {
      const { stdout } = await box.sh(
        `cat /proc/*/environ /proc/*/cmdline | tr '\\0' '\\n'; echo; ls -d /proc/[0-9]* | wc -l; cat /proc/${bystander.pid}/environ`,
      );
      expect(stdout).not.toContain(canary);
      expect(Number(/^(\d+)$/m.exec(stdout.slice(stdout.lastIndexOf('\n', stdout.length - 2)))?.[1])).toBeLessThan(8);
    });

    test('is handed no descriptor that somebody left open, and nothing of the environment of whoever closed it', async () => {
      const { command, enclosure } = await box.wrap([
        '/bin/sh',
        '-c',
        "cat /proc/self/fd/3 /proc/self/fd/12 /proc/$$/fd/3 /proc/$$/fd/12; tr '\\0' '\\n' </proc/1/environ | cut -d= -f1",
      ]);
      const [program = '', ...args] = command.argv;
      const open = openSync(secret, 'r');
      const stdio = Array.from({ length: 13 }, (_, fd) =>
        fd === 3 || fd === 12 ? open : fd < 3 ? ('pipe' as const) : ('ignore' as const),
      );
      const { stdout } = spawnSync(program, args, { cwd: '/', env: command.env, stdio, encoding: 'utf8' });
      closeSync(open);
      await enclosure.close();
      expect(stdout.split('\n').filter((name) => !['', 'PWD', 'OLDPWD', 'SHLVL', '_'].includes(name))).toEqual([]);
    });

    test("finds nothing in the kernel's keyrings", async () => {
      expect((await box.sh('cat /proc/keys /proc/kcore /proc/kallsyms /proc/timer_list')).stdout).toBe('');
    });
  });

  describe('writing', () => {
    test('outside of the workspace leaves nothing', async () => {
      const places = [
        box.home,
        other,
        box.base,
        '/usr',
        '/usr/local/bin',
        '/etc',
        '/',
        '/dev',
        '/proc/sys/kernel',
        '/var',
        '/run',
        '/home',
      ];
      const { stdout } = await box.sh(`for place in ${places.join(' ')}; do echo x > $place/${canary} && echo written $place; done`);
      // The folders above the workspace exist inside as empty stand-ins, here in the private /tmp.
      const written = stdout.split('\n').filter((line) => line !== '' && !line.startsWith(`written ${box.base}`));
      expect(written).toEqual([]);
      expect(places.filter((place) => existsSync(join(place, canary)))).toEqual([]);
    });

    test('through links in the workspace changes nothing', async () => {
      symlinkSync(secret, join(box.workspace, 'key'));
      symlinkSync(other, join(box.workspace, 'neighbour'));
      await box.sh(`echo gone > key; echo gone > neighbour/file; rm -rf neighbour/*; rm -rf ${box.home}/*; mv ${box.home} ${box.home}2`);
      expect([secret, join(other, 'file')].map((file) => readFileSync(file, 'utf8'))).toEqual([canary, canary]);
    });

    test('finds nothing of the kernel that can be set, whoever the server is', async () => {
      // Opened, never written: if this fails, nothing of this machine may have changed.
      const { code, stdout } = await box.node(`
        const fs = require('fs'); const found = [];
        const visit = (folder) => { let entries = []; try { entries = fs.readdirSync(folder, { withFileTypes: true }) } catch {}
          for (const entry of entries) { const path = folder + '/' + entry.name;
            if (folder === '/proc' && /^(\\d+|self|thread-self)$/.test(entry.name)) continue;
            if (entry.isDirectory()) visit(path);
            else try { fs.closeSync(fs.openSync(path, fs.constants.O_WRONLY)); found.push(path) } catch {} } };
        visit('/proc'); console.log(JSON.stringify(found))`);
      expect(code).toBe(0);
      expect(JSON.parse(stdout)).toEqual([]);
    });

    test('makes no device, mounts nothing, changes no root', async () => {
      const { stdout } = await box.sh(`
        mknod disk b 254 0 && echo device
        mount -t tmpfs none /tmp && echo mount; mount --bind / /tmp && echo bind; mount -o remount,rw / && echo remount
        umount /proc/sys && echo umount
        mkdir -p jail; chroot jail /bin/true && echo chroot; chroot / /bin/true && echo chroot
        unshare -U true && echo user; unshare -Ur mount -t proc p /proc && echo proc; unshare -m true && echo mounts; unshare -n true && echo net
        nsenter -t 1 -m true && echo enter; true`);
      expect(stdout).toBe('');
    });

    test('uses none of the rights of root', async () => {
      const status = (await box.sh('cat /proc/self/status')).stdout;
      for (const kind of ['Inh', 'Prm', 'Eff', 'Bnd', 'Amb']) expect(status).toMatch(new RegExp(`^Cap${kind}:\\s0+$`, 'm'));
      expect(status).toMatch(/^NoNewPrivs:\s1$/m);
      expect(status).toMatch(/^Uid:\s1000\s1000\s1000\s1000$/m);
      const { stdout } = await box.sh(`
        touch mine; chown 0 mine && echo chown; chgrp 12 mine && echo chgrp
        su -c true && echo su; sudo -n true && echo sudo; newgrp root </dev/null; id -u
        perl -e '$> = 0; $< = 0; print "became root\\n" if $> == 0'
        hostname "$(hostname)" && echo hostname; nice -n -5 true 2>&1 | grep -q cannot || echo nice`);
      expect(stdout.replaceAll(/nice\n$/g, '')).toBe('1000\n');
    });

    test('cannot change what is lent to it, not even as its owner', async () => {
      const lent = join(box.home, 'lent');
      mkdirSync(lent);
      writeFileSync(join(lent, 'tool'), 'x', { mode: 0o755 });
      const { stdout } = await box.sh(
        `cd ${lent}; echo y > tool && echo wrote; rm -f tool && echo removed; chmod 777 tool && echo chmod; touch new && echo made; ln tool ${box.workspace}/hard && echo linked; true`,
        {
          profile: { readOnly: [lent] },
        },
      );
      expect(stdout.replace('removed\n', existsSync(join(lent, 'tool')) ? 'removed\n' : '')).toBe('');
      expect(readFileSync(join(lent, 'tool'), 'utf8')).toBe('x');
      expect(statSync(join(lent, 'tool')).mode & 0o777).toBe(0o755);
    });

    test('leaves no set-user-ID program behind', async () => {
      await box.sh(
        'cp /bin/sh shell; chmod u+s shell; chmod g+s shell; chmod 6755 shell; install -m 4755 /bin/sh shell2; mkdir d; perl -e \'chmod 04755, "shell"; sysopen(F, "shell3", 0101, 04755)\'',
      );
      const marked = readdirSync(box.workspace).filter((name) => (lstatSync(join(box.workspace, name)).mode & 0o6000) !== 0);
      expect(existsSync(join(box.workspace, 'shell'))).toBe(true);
      expect(marked).toEqual([]);
    });
  });

  describe('the devices', () => {
    test('are the harmless ones', async () => {
      const { stdout } = await box.sh('ls /dev');
      expect(stdout.trim().split('\n')).toEqual(
        [
          'console',
          'core',
          'fd',
          'full',
          'null',
          'ptmx',
          'pts',
          'random',
          'shm',
          'stderr',
          'stdin',
          'stdout',
          'tty',
          'urandom',
          'zero',
        ].filter((name) => name !== 'console'),
      );
    });

    test.skipIf(!has('/usr/bin/perl'))('take no keystrokes for the terminal of whoever started the server', async () => {
      // Refused for any descriptor: whether it is a terminal is not even looked at.
      const { stdout } = await box.run([
        '/usr/bin/perl',
        '-e',
        'my $c = "x"; for my $call (0x5412, 0x541C) { ioctl(STDIN, $call, $c); print "$!\\n" }',
      ]);
      expect(stdout).toBe('Operation not permitted\nOperation not permitted\n');
      expect((await box.sh('exec 3</dev/tty && echo terminal')).stdout).toBe('');
    });

    test.skipIf(!has('/usr/bin/perl') || !probe.works || !probe.filtersCalls)(
      'are reached by no other kind of socket or system call',
      async () => {
        const calls = process.arch === 'arm64' ? { keyctl: 219, uring: 425, bpf: 280 } : { keyctl: 250, uring: 425, bpf: 321 };
        // AF_VSOCK, AF_ALG, AF_PACKET: none of them is held by a network namespace, or by that alone. None is connected to.
        const { stdout } = await box.run([
          '/usr/bin/perl',
          '-e',
          `use Socket; for my $family (40, 38, 17) { print socket(my $s, $family, SOCK_STREAM, 0) ? "open" : $!, "\\n" }
         for my $call (${Object.values(calls).join()}) { syscall($call, 0, 0, 0, 0, 0); print "$!\\n" }`,
        ]);
        expect(stdout.trim().split('\n')).toEqual([
          ...Array(4).fill('Operation not permitted'),
          'Function not implemented',
          'Operation not permitted',
        ]);
      },
    );
  });

  describe('the network', () => {
    const servers: Server[] = [];
    const listening = (server: Server, where: { port: number; host: string } | { path: string }): Promise<void> =>
      new Promise((resolve, reject) => {
        server.once('error', reject).listen(where, () => resolve());
        servers.push(server);
      });
    const reached: string[] = [];
    const trap = (name: string): Server =>
      createServer((socket) => {
        reached.push(name);
        socket.end(canary);
      });
    afterAll(() => {
      for (const server of servers) server.close();
    });

    test("is not there: not the server's own API, not a neighbour's socket, not DNS", async () => {
      const api = trap('tcp');
      await listening(api, { port: 0, host: '127.0.0.1' });
      const { port } = api.address() as { port: number };
      await listening(trap('abstract'), { path: `\0${canary}` });
      await listening(trap('unix'), { path: join(box.home, 'model.sock') });
      const udp = createSocket('udp4');
      udp.on('message', () => reached.push('udp'));
      await new Promise<void>((resolve) => udp.bind(0, '127.0.0.1', () => resolve()));

      const { stdout } = await box.node(`
        const net = require('net'), dgram = require('dgram'), dns = require('dns');
        const attempt = (name, where) => new Promise((done) => { const s = net.connect(where); s.setTimeout(2000, () => s.destroy(new Error('timeout')));
          s.on('error', (e) => { console.log(name, e.code); done() }); s.on('connect', () => { console.log(name, 'CONNECTED'); s.destroy(); done() }) });
        (async () => {
          await attempt('tcp', { port: ${port}, host: '127.0.0.1' });
          await attempt('any', { port: ${port}, host: '0.0.0.0' });
          await attempt('v6', { port: ${port}, host: '::1' });
          await attempt('elsewhere', { port: 80, host: '192.0.2.1' });
          await attempt('metadata', { port: 80, host: '169.254.169.254' });
          await attempt('abstract', { path: '\\0${canary}' });
          await attempt('unix', { path: '${join(box.home, 'model.sock')}' });
          await new Promise((done) => { const u = dgram.createSocket('udp4'); u.send('x', ${udp.address().port}, '127.0.0.1', () => u.close(done)) });
          await new Promise((done) => dns.lookup('nightshift.invalid', (e) => { console.log('dns', e ? e.code : 'ANSWERED'); done() }));
          console.log('interfaces', Object.keys(require('os').networkInterfaces()).join());
        })()`);
      udp.close();
      expect(reached).toEqual([]);
      expect(stdout).not.toMatch(/CONNECTED|ANSWERED/);
      expect(stdout).toContain('elsewhere ENETUNREACH');
      expect(stdout).toContain('metadata ENETUNREACH');
      expect(stdout).toContain('interfaces lo\n');
    });
  });

  describe('other processes', () => {
    test('are not reached by signals or a debugger', async () => {
      // One process of ours, by its number: if this fails, nobody else may be hit.
      const { stdout } = await box.sh(`kill -STOP ${bystander.pid} && echo stopped; kill -9 ${bystander.pid} && echo killed`);
      expect(stdout).toBe('');
      expect(bystander.exitCode ?? bystander.signalCode).toBeNull();
      expect(readFileSync(`/proc/${bystander.pid}/stat`, 'utf8')).not.toMatch(/\) T /);
      const { code } = await box.sh(`cat /proc/${bystander.pid}/mem`);
      expect(code).not.toBe(0);
    });

    /** Those that run inside by now: its first process, the command and the daemons. */
    const begun = (): boolean => survivors().filter((pid) => /^NSpid:(\s+\d+){2,}$/m.test(statusOf(pid))).length >= 5;
    const survivors = (): readonly string[] =>
      readdirSync('/proc').filter((pid) => /^\d+$/.test(pid) && commandLine(pid).includes(`survivor-${canary}`));
    /** In sessions of their own, without environment, twice forked, deaf to what can be ignored. */
    const daemons = `for i in 1 2 3; do (trap '' TERM HUP INT; setsid env -i /bin/sh -c "trap '' TERM HUP INT; while :; do /bin/sleep 0.1; done # survivor-${canary}" </dev/null >/dev/null 2>&1 &) & done; sleep 0.3`;

    test('do not outlive the command that began them', async () => {
      const { code } = await box.sh(daemons);
      expect(code).toBe(0);
      await gone(survivors);
    });

    test.each(['SIGKILL', 'SIGTERM'] as const)('do not outlive a %s to the sandbox', async (signal) => {
      const { signal: killedBy } = await box.sh(`${daemons}; sleep 60`, {
        async meanwhile({ pid }) {
          await until(begun);
          process.kill(pid, signal);
        },
      });
      expect(killedBy).toBe(signal);
      await gone(survivors);
    });

    test('do not outlive the look for what a run has left', async () => {
      const run = `NIGHTSHIFT_RUN_ID=${canary}`;
      await box.sh(`${daemons}; sleep 60`, {
        env: { NIGHTSHIFT_RUN_ID: canary },
        async meanwhile() {
          await until(begun);
          await sweep((variable) => variable === run);
          await gone(survivors);
        },
      });
    });

    test('do not outlive the server', async () => {
      const { command, enclosure } = await box.wrap(['/bin/sh', '-c', `${daemons}; sleep 60`]);
      const { argv, env } = command;
      const script = `const { argv, env } = JSON.parse(process.argv[1]); require('child_process').spawn(argv[0], argv.slice(1), { cwd: '/', env, detached: true, stdio: 'ignore' }); setTimeout(() => {}, 60_000)`;
      const server = spawn(process.execPath, ['-e', script, JSON.stringify({ argv, env })], { stdio: 'ignore' });
      await until(begun);
      server.kill('SIGKILL');
      await gone(survivors);
      await enclosure.close();
    });
  });

  describe('exhausting the machine', () => {
    test.skipIf(!processesLimited)('by processes: a fork bomb fills its own limit only, and dies with its sandbox', async () => {
      let most = 0;
      let slowestMs = 0;
      await box.run(['/bin/bash', '-c', 'bomb() { bomb | bomb & }; bomb; sleep 30'], {
        limits: { processes: 48 },
        withinMs: 4_000,
        async meanwhile({ enclosure }) {
          for (let look = 0; look < 20; look++) {
            most = Math.max(most, (await enclosure.usage())?.processes ?? 0);
            const begun = performance.now();
            expect(spawnSync('/bin/true').status).toBe(0);
            slowestMs = Math.max(slowestMs, performance.now() - begun);
            await pause(50);
          }
        },
      });
      expect(most).toBeGreaterThan(10);
      expect(most).toBeLessThanOrEqual(53);
      expect(slowestMs).toBeLessThan(5_000);
    });

    test('by memory of one process', async () => {
      const { code, signal, stdout } = await box.node(
        'const all = []; for (let i = 0; i < 40; i++) all.push(Buffer.alloc(16 * 2 ** 20, 1)); console.log("had it all")',
        {
          limits: { dataBytesPerProcess: 400 * mebibyte },
        },
      );
      expect(stdout).toBe('');
      expect(code === 0 && signal === null).toBe(false);
    });

    test('by memory of many: it is ended, with the reason', async () => {
      const reasons: string[] = [];
      const hog = `${process.execPath} -e 'const all = []; for (let i = 0; i < 8; i++) all.push(Buffer.alloc(2 ** 24, 1)); setTimeout(() => {}, 30000)'`;
      const { stdout } = await box.sh(`${hog} & ${hog} & ${hog} & wait; echo done`, {
        limits: { memoryBytes: 256 * mebibyte },
        withinMs: 25_000,
        onExceeded: ({ code }) => reasons.push(code),
      });
      expect(stdout).toBe(probe.works && probe.cgroups.memory ? 'done\n' : '');
      if (probe.works && !probe.cgroups.memory) expect(reasons).toEqual(['memory-exceeded']);
    });

    test('by disk: every place that can be filled has a limit', async () => {
      const fill = (place: string): string =>
        `head -c ${80 * mebibyte} /dev/zero > ${place}/fill && echo filled ${place}; rm -f ${place}/fill`;
      const { stdout, stderr } = await box.sh(['/tmp', '/var/tmp', '/home/agent', '/dev/shm', '/run', '/dev', '/etc'].map(fill).join('\n'));
      expect(stdout).toBe('');
      expect(stderr).toContain('No space left on device');
    });

    test('by one huge file', async () => {
      await box.sh('head -c 9000000 /dev/zero > big; true', { limits: { fileBytes: mebibyte } });
      expect(statSync(join(box.workspace, 'big')).size).toBe(mebibyte);
    });

    test('by open files and by time', async () => {
      expect((await box.sh('ulimit -n; ulimit -Hn; ulimit -n 9999 || echo refused', { limits: { openFiles: 64 } })).stdout).toBe(
        '64\n64\nrefused\n',
      );
      const { code, signal } = await box.sh('while :; do :; done', { limits: { cpuSeconds: 1 } });
      expect(code === 0 && signal === null).toBe(false);
    });

    test('and a limit above what the server has itself is what the server has, since nobody can be given more', async () => {
      const own = spawnSync('/bin/sh', ['-c', 'ulimit -Hn'], { encoding: 'utf8' }).stdout;
      expect(await box.sh('ulimit -Hn', { limits: { openFiles: 2 ** 31 } })).toMatchObject({ code: 0, stdout: own, stderr: '' });
    });

    test('by printing 100 MB: what is not read is not kept', async () => {
      const { command, enclosure } = await box.wrap(['/usr/bin/head', '-c', String(100 * mebibyte), '/dev/zero']);
      const printing = start(command, systemClock, new AbortController().signal);
      const before = process.memoryUsage().rss;
      let [bytes, most] = [0, 0];
      for await (const data of printing.stdout) {
        bytes += data.length;
        most = Math.max(most, process.memoryUsage().rss - before);
      }
      expect(await printing.exit).toEqual({ kind: 'exited', code: 0 });
      await enclosure.close();
      expect(bytes).toBe(100 * mebibyte);
      expect(most).toBeLessThan(80 * mebibyte);
    });
  });

  describe('what the sandbox itself gives away', () => {
    test('no secret among the arguments that every user can list, and no file that holds it', async () => {
      const { stdout } = await box.sh('echo $KEY; sleep 0.5', {
        env: { KEY: `own-${canary}` },
        async meanwhile({ pid }) {
          await pause(200);
          const listed = readdirSync('/proc').flatMap((name) => (/^\d+$/.test(name) ? [commandLine(name)] : []));
          expect(listed.filter((line) => line.includes(`own-${canary}`))).toEqual([]);
          expect(readFileSync(`/proc/${pid}/environ`, 'latin1')).not.toContain(`own-${canary}`);
          expect(readdirSync(join(box.home, 'sandbox', 'entries')).filter((name) => name.endsWith('.args'))).toEqual([]);
        },
      });
      expect(stdout).toBe(`own-${canary}\n`);
    });

    test('no code of the agent runs in the programs that make the sandbox', async () => {
      const { command, enclosure } = await box.wrap(['/bin/true'], {
        env: { LD_PRELOAD: join(box.workspace, 'evil.so'), BASH_ENV: 'evil', 'BASH_FUNC_exec%%': '() { evil; }', NIGHTSHIFT_RUN_ID: 'r' },
      });
      await enclosure.close();
      expect(command.env).toEqual({ NIGHTSHIFT_RUN_ID: 'r' });
    });
  });
});

describe.skipIf(missingSandbox !== undefined)('an agent that wants to work', () => {
  let box: TestSandbox;
  beforeAll(async () => {
    box = await openTestSandbox();
  });
  afterAll(() => box.remove());

  test('runs node and writes in its workspace, as the same user to those outside', async () => {
    expect(await box.node("require('fs').writeFileSync('made', String(1 + 1))")).toMatchObject({ code: 0, stderr: '' });
    expect(readFileSync(join(box.workspace, 'made'), 'utf8')).toBe('2');
    expect(statSync(join(box.workspace, 'made')).uid).toBe(process.getuid?.());
  });

  test('uses git', async () => {
    const { code, stdout } = await box.sh(
      'git init -q repo && cd repo && git config user.email a@example.org && git config user.name A && echo x > f && git add f && git commit -qm first && git log --oneline | wc -l',
    );
    expect([code, stdout.trim()]).toEqual([0, '1']);
  });

  test('runs the tests of a small project', async () => {
    const [npm] = ['/usr/bin/npm', '/usr/local/bin/npm'].filter(has);
    mkdirSync(join(box.workspace, 'project'));
    writeFileSync(
      join(box.workspace, 'project', 'package.json'),
      JSON.stringify({ name: 'p', scripts: { test: `${process.execPath} --test` } }),
    );
    writeFileSync(
      join(box.workspace, 'project', 'a.test.js'),
      "require('node:test')('adds', () => require('node:assert').equal(1 + 1, 2))",
    );
    const { code, stdout } = await box.sh(`cd project && ${npm === undefined ? `${process.execPath} --test` : 'npm test'}`);
    expect(stdout).toMatch(/pass 1/);
    expect(code).toBe(0);
  });

  test.skipIf(!has('/usr/bin/python3'))('runs python', async () => {
    expect(
      (await box.run(['/usr/bin/python3', '-c', 'import json, ssl, tempfile; print(json.dumps(len(tempfile.mkdtemp()) > 0))'])).stdout,
    ).toBe('true\n');
  });

  test('reaches the model through its socket', async () => {
    const socket = join(box.home, 'model.sock');
    const model = createServer((connection) => connection.end('HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello'));
    await new Promise<void>((resolve) => model.listen(socket, resolve));
    const { stdout } = await box.node(`require('http').get({ socketPath: '${socket}', path: '/' }, (r) => r.pipe(process.stdout))`, {
      profile: { sockets: [socket] },
    });
    model.close();
    expect(stdout).toBe('hello');
  });

  test('is given its environment and nothing else, a home and a place for scratch', async () => {
    const { stdout } = await box.sh('env | cut -d= -f1 | sort | tr "\\n" " "; echo; touch ~/a /tmp/b && echo $HOME $TMPDIR', {
      env: { MINE: 'x=y z' },
    });
    expect(stdout).toBe('HOME LANG MINE PATH PWD TMPDIR \n/home/agent /tmp\n');
  });

  test('keeps its home where that is a directory', async () => {
    const home = join(box.home, 'runs', 'mine', 'home');
    mkdirSync(home);
    await box.sh('echo kept > ~/session', { profile: { home: { kind: 'directory', path: home } } });
    expect(readFileSync(join(home, 'session'), 'utf8')).toBe('kept\n');
  });

  test('talks through pipes, several commands side by side, and ends at once when its group is asked to', async () => {
    const { enclosure } = await box.wrap(['/bin/true']);
    const env = { PATH: '/usr/bin:/bin' };
    const [one, two] = [1, 2].map(() => enclosure.spawn({ argv: ['/bin/sh', '-c', 'cat; sleep 60'], cwd: box.workspace, env }));
    const both = [one, two].filter((child) => child !== undefined);
    const heard = await Promise.all(
      both.map(
        (child, index) =>
          new Promise((resolve) => {
            child.stdout.once('data', (data) => resolve(String(data)));
            child.stdin.write(`hello ${index}`);
          }),
      ),
    );
    expect(heard).toEqual(['hello 0', 'hello 1']);
    expect((await enclosure.usage())?.processes).toBeGreaterThanOrEqual(6);
    const ended = both.map((child) => new Promise((resolve) => child.once('close', (_, signal) => resolve(signal))));
    for (const { pid } of both) process.kill(-(pid as number), 'SIGTERM');
    expect(await Promise.all(ended)).toEqual(['SIGTERM', 'SIGTERM']);
    await enclosure.close();
  });

  test('sees the exit code of its command come out', async () => {
    expect((await box.sh('exit 75')).code).toBe(75);
  });

  test('leaves no control group and no file of the sandbox', async () => {
    await box.sh('true', { limits: defaultLimits });
    expect(readdirSync(join(box.home, 'sandbox', 'entries'))).toEqual([]);
    const groups = '/sys/fs/cgroup/pids';
    expect(existsSync(groups) ? readdirSync(groups).filter((name) => name.startsWith(`nightshift-${process.pid}-`)) : []).toEqual([]);
  });
});

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function until(holds: () => boolean): Promise<void> {
  for (let look = 0; look < 200; look++) {
    if (holds()) return; // not asked again: of a process that forks there are two for a moment
    await pause(25);
  }
  expect.fail(`waited in vain for ${holds}`);
}

async function gone(those: () => readonly string[]): Promise<void> {
  await until(() => those().length === 0);
}

const commandLine = (pid: string): string => readIfThere(`/proc/${pid}/cmdline`);
const statusOf = (pid: string): string => readIfThere(`/proc/${pid}/status`);

function readIfThere(path: string): string {
  try {
    return readFileSync(path, 'latin1');
  } catch {
    return '';
  }
}
