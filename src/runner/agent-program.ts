import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where the agent's program and the Node that it may want are installed. */
export const agentProgram = (node: string = process.execPath): readonly string[] => [
  dirname(dirname(fileURLToPath(import.meta.resolve('@anthropic-ai/claude-agent-sdk')))),
  ...nodeInstallation(node),
];

/**
 * Node and what was installed with it, npm for one. Never all of the directory above: that may be /usr, which no sandbox
 * takes, or ~/.local, which holds a person's own things.
 */
const nodeInstallation = (node: string): readonly string[] =>
  [dirname(node), join(dirname(dirname(node)), 'lib', 'node_modules')].filter((path) => existsSync(path));
