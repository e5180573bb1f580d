#!/bin/sh
# Is the server alive? For containers and load balancers, which ask often. `./healthcheck.sh --full` examines everything that
# `nightshift doctor` does. Exits with 0 or 1.
here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd)
node="$here/node_modules/.bin/node"
[ -x "$node" ] || node=node
if [ "${1:-}" = --full ]; then
  shift
  exec "$node" "$here/bin/nightshift.js" doctor "$@"
fi
exec "$node" -e '
  const address = process.env.NIGHTSHIFT_URL ?? `http://127.0.0.1:${process.env.PORT ?? 8080}`;
  fetch(new URL("/health", address), { signal: AbortSignal.timeout(4000) }).then(
    (answer) => process.exit(answer.ok ? 0 : 1),
    (error) => {
      console.error(`${address} does not answer: ${error.cause?.message ?? error.message}`);
      process.exit(1);
    },
  );'
