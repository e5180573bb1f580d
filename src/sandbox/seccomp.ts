/**
 * A filter for system calls that no build or test needs and that reach past the namespaces: sockets of other kinds (a
 * network namespace does not hold AF_VSOCK), the kernel's keyrings, io_uring (which would go round this filter), mounting,
 * and set-user-ID bits (on a file of the server's user they would outlive the sandbox). What is not listed is allowed: an
 * allow-list was rejected, because it breaks one tool or other with every release of the C library.
 */
export function seccompFilter(arch: string): Buffer | undefined {
  const column = arch === 'x64' ? 0 : arch === 'arm64' ? 1 : undefined;
  if (column === undefined) return undefined;
  const blocks = rules.flatMap(({ calls, ...rule }) => {
    const number = calls[column];
    return number === null || number === undefined ? [] : block(number, rule);
  });
  const program = [...entrance(column), ...blocks, statement(op.ret, allow)];
  return Buffer.concat(program.map(encode));
}

const [eperm, enosys] = [1, 38];
const allow = 0x7fff_0000;
const refuse = (errno: number): number => 0x0005_0000 | errno;

interface Test {
  readonly arg: number;
  /** True when one of these bits is set, or when the value is this one, or when it is none of these. */
  readonly bits?: number;
  readonly is?: number;
  readonly not?: readonly number[];
}

interface Rule {
  /** On x86-64 and on arm64, which lacks some. */
  readonly calls: readonly [number | null, number | null];
  readonly errno?: number;
  /** Refused when all of them are true. */
  readonly when?: readonly Test[];
}

const setId = 0o6000;
const creating = 0o100 | 0o20000000;
const namespaceFlags = 0x7e02_0000;
const whole = (...calls: readonly (readonly [number | null, number | null])[]): readonly Rule[] => calls.map((call) => ({ calls: call }));

const rules: readonly Rule[] = [
  // socket: AF_UNIX, AF_INET, AF_INET6, AF_NETLINK only
  { calls: [41, 198], when: [{ arg: 0, not: [1, 2, 10, 16] }] },
  // ioctl: TIOCSTI, TIOCLINUX
  { calls: [16, 29], when: [{ arg: 1, is: 0x5412 }] },
  { calls: [16, 29], when: [{ arg: 1, is: 0x541c }] },
  // clone into new namespaces; clone3 hides its flags, and the C library falls back to clone
  { calls: [56, 220], when: [{ arg: 0, bits: namespaceFlags }] },
  { calls: [435, 435], errno: enosys },
  // chmod, fchmod, fchmodat, fchmodat2, creat, open, openat, mknod, mknodat; openat2 hides its mode
  { calls: [90, null], when: [{ arg: 1, bits: setId }] },
  { calls: [91, 52], when: [{ arg: 1, bits: setId }] },
  { calls: [268, 53], when: [{ arg: 2, bits: setId }] },
  { calls: [452, 452], when: [{ arg: 2, bits: setId }] },
  { calls: [85, null], when: [{ arg: 1, bits: setId }] },
  {
    calls: [2, null],
    when: [
      { arg: 1, bits: creating },
      { arg: 2, bits: setId },
    ],
  },
  {
    calls: [257, 56],
    when: [
      { arg: 2, bits: creating },
      { arg: 3, bits: setId },
    ],
  },
  { calls: [133, null], when: [{ arg: 1, bits: setId }] },
  { calls: [259, 33], when: [{ arg: 2, bits: setId }] },
  { calls: [437, 437], errno: enosys },
  // io_uring_setup, io_uring_enter, io_uring_register
  { calls: [425, 425], errno: enosys },
  { calls: [426, 426], errno: enosys },
  { calls: [427, 427], errno: enosys },
  // unshare, setns, mount, umount2, pivot_root, chroot
  ...whole([272, 97], [308, 268], [165, 40], [166, 39], [155, 41], [161, 51]),
  // open_tree, move_mount, fsopen, fsconfig, fsmount, fspick, mount_setattr, open_by_handle_at
  ...whole([428, 428], [429, 429], [430, 430], [431, 431], [432, 432], [433, 433], [442, 442], [304, 265]),
  // add_key, request_key, keyctl
  ...whole([248, 217], [249, 218], [250, 219]),
  // bpf, perf_event_open, userfaultfd
  ...whole([321, 280], [298, 241], [323, 282]),
  // kexec_load, kexec_file_load, init_module, finit_module, delete_module, swapon, swapoff, reboot, acct
  ...whole([246, 104], [320, 294], [175, 105], [313, 273], [176, 106], [167, 224], [168, 225], [169, 142], [163, 89]),
];

/** Classic BPF: load a word, compare and jump, return. */
const op = { load: 0x20, equal: 0x15, atLeast: 0x35, anyBit: 0x45, ret: 0x06 };

interface Instruction {
  readonly code: number;
  readonly onTrue: number;
  readonly onFalse: number;
  readonly value: number;
}

const statement = (code: number, value: number): Instruction => ({ code, onTrue: 0, onFalse: 0, value });
const jump = (code: number, value: number, onTrue: number, onFalse: number): Instruction => ({ code, onTrue, onFalse, value });

const callNumber = 0;
const architecture = 4;
const argument = (index: number): number => 16 + 8 * index;

/** Another architecture's calls have other numbers: 32-bit programs, and on x86-64 the x32 ones, are refused. */
function entrance(column: number): readonly Instruction[] {
  const wanted = column === 0 ? 0xc000_003e : 0xc000_00b7;
  return [
    statement(op.load, architecture),
    jump(op.equal, wanted, 1, 0),
    statement(op.ret, refuse(eperm)),
    statement(op.load, callNumber),
    jump(op.atLeast, 0x4000_0000, 0, 1),
    statement(op.ret, refuse(eperm)),
  ];
}

function block(number: number, { when = [], errno = eperm }: Omit<Rule, 'calls'>): readonly Instruction[] {
  let body: readonly Instruction[] = [statement(op.ret, refuse(errno))];
  for (const test of [...when].reverse()) body = [...check(test, body.length), ...body];
  return [statement(op.load, callNumber), jump(op.equal, number, 0, body.length), ...body];
}

/** Goes on when the test is true, else past `rest` more instructions. */
function check({ arg, bits, is, not }: Test, rest: number): readonly Instruction[] {
  const load = statement(op.load, argument(arg));
  if (bits !== undefined) return [load, jump(op.anyBit, bits, 0, rest)];
  if (is !== undefined) return [load, jump(op.equal, is, 0, rest)];
  const values = not ?? [];
  return [load, ...values.map((value, index) => jump(op.equal, value, values.length - 1 - index + rest, 0))];
}

function encode({ code, onTrue, onFalse, value }: Instruction): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt16LE(code, 0);
  bytes.writeUInt8(onTrue, 2);
  bytes.writeUInt8(onFalse, 3);
  bytes.writeUInt32LE(value >>> 0, 4);
  return bytes;
}
