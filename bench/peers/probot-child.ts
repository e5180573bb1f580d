import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { createNodeMiddleware, Probot } from 'probot';

/** A bot as probot's documentation has one: checks signatures, reads each comment, keeps nothing. Tells its parent its port. */
const { privateKey } = generateKeyPairSync('rsa', {
  modulusLength: 2048,
  privateKeyEncoding: { type: 'pkcs8', format: 'pem' },
  publicKeyEncoding: { type: 'spki', format: 'pem' },
});
const [, , secret = ''] = process.argv;
const probot = new Probot({ appId: 42, privateKey, secret, logLevel: 'fatal' });
let asked = 0;
const middleware = await createNodeMiddleware(
  (app) => {
    app.on('issue_comment.created', ({ payload }) => {
      if (payload.comment.body.includes('@nightshift')) asked += 1;
    });
  },
  { probot, webhooksPath: '/webhook/github' },
);
const server = createServer((request, response) => {
  void middleware(request, response, () => response.writeHead(404).end());
});
server.listen(0, '127.0.0.1', () => process.send?.({ port: (server.address() as AddressInfo).port }));
process.once('disconnect', () => process.exit(asked === 0 ? 0 : 1));
