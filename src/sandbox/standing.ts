import type { Probe } from './probe.ts';
import type { SandboxMode } from './profile.ts';

/** How things stand: sentences for people. */
export interface Standing {
  readonly mode: SandboxMode;
  readonly active: boolean;
  /** One line for the log at start. */
  readonly summary: string;
  readonly holds: readonly string[];
  readonly doesNotHold: readonly string[];
  /** What this means for the work. */
  readonly costs: readonly string[];
  readonly remedy?: string;
}

export function standingOf(mode: SandboxMode, probe: Probe | undefined): Standing {
  if (probe?.works) return active(mode, probe);
  const remedy = probe?.remedy ?? 'Set NIGHTSHIFT_SANDBOX to auto or require.';
  const why = probe === undefined ? 'is switched off' : `does not work here: ${probe.found}`;
  return {
    mode,
    active: false,
    summary: mode === 'require' ? `The sandbox ${why}, so nothing is run.` : `The sandbox ${why}. AGENTS RUN WITH THE SERVER'S OWN RIGHTS.`,
    holds: [],
    doesNotHold:
      mode === 'require'
        ? []
        : ["Agents can read what the server's user can, its keys included, reach every network that it can, and stay behind."],
    costs: mode === 'require' ? ['No work is done at all.'] : ['Work from people who are not trusted is refused.'],
    remedy,
  };
}

function active(
  mode: SandboxMode,
  { version, disablesNesting, filtersCalls, prlimit, cgroups, asRoot }: Extract<Probe, { works: true }>,
): Standing {
  const missing: readonly (string | false)[] = [
    !cgroups.memory && 'Memory of all processes together is only watched, about once a second: a fast hog can get past it for a moment.',
    !cgroups.processes && asRoot && "The number of processes is not limited, because the kernel does not count root's.",
    prlimit === undefined && 'Open files, the size of files and CPU time are not limited (prlimit is missing).',
    !disablesNesting && 'User namespaces can be made inside (this bubblewrap cannot prevent it).',
    !filtersCalls && 'System calls are not filtered on this processor.',
    asRoot && "The kernel still knows the agent as root's user, without its rights. Run the server as an ordinary user if you can.",
    'The kernel is shared: a hole in it is a hole in the sandbox.',
    'The size of the workspace is watched by its quota, not limited by the file system.',
  ];
  return {
    mode,
    active: true,
    summary: `Agents run in a sandbox (bubblewrap ${version}).`,
    holds: [
      'Only the workspace and private scratch places can be written; the server, its keys, other runs and home directories are not there.',
      'No network, except what a repository is allowed through the egress proxy.',
      'Nothing outlives a run.',
      ...(cgroups.memory ? ['Memory is limited by a control group.'] : []),
      ...(cgroups.processes ? ['Processes are limited by a control group.'] : []),
      ...(prlimit === undefined ? [] : ['Open files, the size of files and CPU time are limited.']),
    ],
    doesNotHold: missing.filter((line) => line !== false),
    costs: ['Programs inside cannot make sandboxes of their own: a browser under test needs --no-sandbox.'],
  };
}
