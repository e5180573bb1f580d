import { Readable, Writable } from 'node:stream';
import { type ClientFlags, clientFlags, connect } from './connect.ts';
import { Failure } from './failure.ts';
import { type Define, examples, type Session } from './session.ts';
import { version } from './version.ts';

export const define: Define = (command, session) => {
  examples(clientFlags(command), 'claude mcp add nightshift -- nightshift mcp', 'nightshift mcp --url https://nightshift.example.org')
    .addHelpText(
      'after',
      `
Speaks the Model Context Protocol on standard input and output, for an editor or another agent that starts it. The same
tools are at /mcp on the server, with the API key as a bearer.`,
    )
    .action((flags: ClientFlags) => serve(flags, session));
};

/** Until the other side closes its end. */
async function serve(flags: ClientFlags, session: Session): Promise<void> {
  const [{ StdioServerTransport, serveStdio }, { createMcpServer }] = await Promise.all([
    import('@modelcontextprotocol/server/stdio'),
    import('../mcp/server.ts'),
  ]);
  const { terminal } = session;
  const api = {
    async request(method: 'GET' | 'POST' | 'PATCH', path: string, body?: unknown) {
      try {
        // Anew for each: a restart may have moved the server, and a rotation changed the key.
        const client = connect(flags, session);
        return method === 'GET' ? { status: 200, body: await client.get(path) } : await client.send(method, path, body);
      } catch (error) {
        if (!(error instanceof Failure)) throw error;
        return { status: 400, body: { code: error.code, detail: error.message } };
      }
    },
  };
  const input = Readable.from(terminal.stdin);
  const output = new Writable({ write: (chunk, _, done) => done(void terminal.stdout.write(String(chunk))), decodeStrings: false });
  serveStdio(() => createMcpServer({ api, clock: terminal.clock, version: version() }), {
    transport: new StdioServerTransport(input, output),
  });
  await new Promise<void>((resolve) => input.once('close', resolve));
}
