import { type Machine, probeSandbox } from './probe.ts';
import type { SandboxMode } from './profile.ts';
import { type Standing, standingOf } from './standing.ts';

export interface SandboxCheck {
  readonly verdict: 'ok' | 'warning' | 'failure';
  readonly found: string;
  readonly remedy?: string;
  readonly standing: Standing;
}

/** For `doctor`: whether the sandbox holds here, found by starting one. */
export async function checkSandbox(mode: SandboxMode, machine?: Machine): Promise<SandboxCheck> {
  const standing = standingOf(mode, mode === 'off' ? undefined : await probeSandbox(machine));
  const { active, summary, remedy, doesNotHold } = standing;
  if (active) return { verdict: 'ok', found: [summary, ...doesNotHold].join(' '), standing };
  return { verdict: mode === 'require' ? 'failure' : 'warning', found: summary, standing, ...(remedy === undefined ? {} : { remedy }) };
}
