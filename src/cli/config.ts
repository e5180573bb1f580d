import { describeConfig } from '../config/config.ts';
import { loadSettings } from './connect.ts';
import { oneLine } from './legible.ts';
import { type Define, examples, type JsonFlag, jsonFlag } from './session.ts';

interface Flags extends JsonFlag {
  readonly home?: string;
}

/** Works without a server: it says what one would be started with here. */
export const define: Define = (command, session) => {
  examples(
    jsonFlag(command).option('--home <directory>', 'home of the server (NIGHTSHIFT_HOME)'),
    'nightshift config',
    'nightshift config --json | jq .settings.port.value',
  ).action((flags: Flags) => {
    const { config, origins } = loadSettings(flags, session);
    const described = describeConfig(config, origins);
    const { screen } = session;
    if (flags.json) {
      return screen.json({
        settings: Object.fromEntries(described.map(({ key, value, origin, env }) => [key, { value: value || null, origin, env }])),
      });
    }
    screen.table(
      ['SETTING', 'VALUE', 'FROM', 'VARIABLE'],
      described.map(({ key, value, origin, env }) => [
        { text: key, style: 'bold' },
        oneLine(value) || (screen.rich ? '-' : ''),
        { text: oneLine(origin), style: origin.startsWith('default') || origin === 'not set' ? 'dim' : 'cyan' },
        { text: env, style: 'dim' },
      ]),
    );
  });
};
