import { mkdtemp, readFile, rmdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../../platform/clock.ts';
import type { Log } from '../../platform/log.ts';
import { start } from '../../platform/subprocess.ts';
import { type Built, type BuiltFile, readBuilt } from './built.ts';
import { fingerprintOf } from './fingerprint.ts';

/** The dashboard's files. Whatever is wrong with them is an answer, and the API goes on without them. */
export interface Pages {
  /** Sees to it that they are there and made from the sources as they are, building them if need be. Idempotent. */
  prepare(): void;
  state(): PagesState;
  /** A file by its name in the build, in the best form that the client understands; undefined when there is none. */
  read(name: string, acceptEncoding: string): PageFile | undefined;
  stop(): Promise<void>;
}

type PagesState =
  | { readonly kind: 'not-looked' | 'preparing' | 'ready' }
  /** And what to do about it. */
  | { readonly kind: 'unavailable'; readonly why: string };

interface PageFile extends BuiltFile {
  readonly body: Body;
  readonly encoding: 'br' | 'gzip' | undefined;
}

type Body = Uint8Array<ArrayBuffer>;

interface Held {
  readonly file: BuiltFile;
  readonly plain: Body;
  readonly br: Body | undefined;
  readonly gzip: Body | undefined;
}

export interface PagesParts {
  /** Where Nightshift is installed. */
  readonly root: string;
  readonly clock: Clock;
  readonly log: Log;
  /** The environment of the process that builds. */
  readonly env: Readonly<Record<string, string>>;
}

export function openPages({ root, clock, log, env }: PagesParts): Pages {
  const dist = join(root, 'web', 'dist');
  const stopping = new AbortController();
  let state: PagesState = { kind: 'not-looked' };
  let held: ReadonlyMap<string, Held> = new Map();
  let preparing: Promise<void> | undefined;

  async function prepare(): Promise<void> {
    const wanted = await fingerprintOf(root);
    const there = await readBuilt(dist);
    if (there?.fingerprint === wanted) return take(there);
    state = { kind: 'preparing' };
    const failure = (await unwritable(join(root, 'web'))) ?? (await build());
    if (stopping.signal.aborted) return;
    const built = failure === undefined ? await readBuilt(dist) : undefined;
    if (built) return take(built);
    const why = failure ?? 'The build left nothing behind.';
    state = { kind: 'unavailable', why };
    log.warn({ why }, 'there is no dashboard; the API works without it');
  }

  /** Into memory, half a megabyte: who builds anew under a running server must not take away what fits its API. */
  async function take({ files }: Built): Promise<void> {
    const entries = Object.entries(files).map(async ([name, file]): Promise<[string, Held]> => {
      const [plain, br, gzip] = await Promise.all(
        ['', ...(file.compressed ? ['.br', '.gz'] : [])].map((suffix) => readFile(join(dist, name + suffix))),
      );
      return [name, { file, plain: plain as Body, br, gzip }];
    });
    held = new Map(await Promise.all(entries));
    state = { kind: 'ready' };
  }

  /** In a process of its own: the tools of a build take more memory than the server. */
  async function build(): Promise<string | undefined> {
    const began = clock.monotonic();
    const builder = start({ argv: [process.execPath, join(root, 'scripts', 'build-web.ts')], cwd: root, env }, clock, stopping.signal);
    let said = '';
    const listen = async (output: AsyncIterable<Buffer>): Promise<void> => {
      for await (const chunk of output) said = (said + chunk.toString()).slice(-4_000);
    };
    const [ended] = await Promise.all([builder.exit, listen(builder.stdout), listen(builder.stderr)]);
    if (ended.kind === 'exited' && ended.code === 0) {
      log.info({ ms: Math.round(clock.monotonic() - began) }, 'the dashboard is built');
      return undefined;
    }
    return `The dashboard could not be built. Run \`npm run build\` in ${root} to see why. ${said.trim().split('\n').at(-1) ?? ''}`.trim();
  }

  return {
    prepare() {
      preparing ??= prepare().catch((error: unknown) => {
        state = { kind: 'unavailable', why: `The dashboard's sources in ${root} cannot be read. Install Nightshift again.` };
        log.warn({ err: error }, 'there is no dashboard; the API works without it');
      });
    },
    state: () => state,
    read(name, acceptEncoding) {
      const found = held.get(name);
      if (!found) return undefined;
      const encoding = (['br', 'gzip'] as const).find((each) => found[each] && accepts(acceptEncoding, each));
      return { ...found.file, encoding, body: (encoding && found[encoding]) ?? found.plain };
    },
    async stop() {
      stopping.abort();
      await preparing;
    },
  };
}

async function unwritable(directory: string): Promise<string | undefined> {
  try {
    await rmdir(await mkdtemp(join(directory, '.dist-')));
    return undefined;
  } catch {
    return `The dashboard is not built yet, and ${directory} cannot be written. Run \`npm run build\` there as a user who may write, once.`;
  }
}

function accepts(header: string, encoding: string): boolean {
  const wish = header.split(',').find((each) => each.split(';')[0]?.trim().toLowerCase() === encoding);
  return wish !== undefined && !/;\s*q=0(\.0*)?\s*$/.test(wish);
}
