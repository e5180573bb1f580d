# syntax=docker/dockerfile:1
# Any Debian with a Node 20 or later and npm will do: what runs is the Node that comes as a dependency.
ARG BASE=node:24-trixie-slim

FROM ${BASE} AS build
WORKDIR /opt/nightshift
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY . .
# Node's headers are for whoever compiles against them, which nobody does here.
RUN npm run build && npm prune --omit=dev && rm -rf node_modules/.cache node_modules/node-linux-*/include \
 && mv node_modules /opt/node_modules

FROM ${BASE}
# git and bubblewrap are what agents work with; postgresql-client makes backups of a PostgreSQL that is no newer than itself (17 in
# trixie); tini passes on signals and takes leave of what has died.
RUN apt-get update \
 && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends bubblewrap ca-certificates git openssh-client postgresql-client procps tini \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --uid 10001 --user-group --home-dir /data --no-create-home --shell /usr/sbin/nologin nightshift \
 && install -d -o nightshift -g nightshift -m 0700 /data
# Apart, so that a new version brings its few megabytes alone while what it stands on is the same.
COPY --from=build /opt/node_modules /opt/nightshift/node_modules
COPY --from=build /opt/nightshift /opt/nightshift
RUN printf '#!/bin/sh\nexec /opt/nightshift/node_modules/.bin/node /opt/nightshift/bin/nightshift.js "$@"\n' > /usr/local/bin/nightshift \
 && chmod 0755 /usr/local/bin/nightshift
# Two arenas: with one a thread, glibc keeps some 50 MiB more of what small files were read into.
ENV MALLOC_ARENA_MAX=2
ENV NODE_ENV=production HOST=0.0.0.0 PORT=8080 NIGHTSHIFT_HOME=/data
USER nightshift
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=20s --retries=3 CMD ["/opt/nightshift/healthcheck.sh"]
ENTRYPOINT ["tini", "--", "nightshift"]
CMD ["up"]
