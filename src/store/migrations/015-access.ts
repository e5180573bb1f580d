import type { Migration } from './migration.ts';

export const access: Migration = {
  name: 'access',
  statements: (dialect) => {
    const id = dialect === 'postgres' ? 'text collate "C"' : 'text';
    const place = dialect === 'postgres' ? 'bigint generated always as identity primary key' : 'integer primary key';
    return [
      // Secrets are 256 bits of chance, so one SHA-256 is enough: nobody finds such a one by trying, and a slow hash would
      // only slow down every request.
      `create table api_keys (
        id ${id} primary key,
        name text not null,
        role text not null,
        scopes text,
        hash text not null,
        old_hash text,
        old_until bigint,
        created_by text not null,
        created_at bigint not null,
        expires_at bigint,
        rotated_at bigint,
        revoked_at bigint,
        last_used_at bigint
      )`,
      `create unique index api_keys_hash on api_keys (hash)`,
      `create index api_keys_old_hash on api_keys (old_hash) where old_hash is not null`,
      // A revoked key stays, for the audit log speaks of it; its name is free again.
      `create unique index api_keys_name on api_keys (name) where revoked_at is null`,

      `create table sessions (
        id ${id} primary key,
        key_id ${id} references api_keys (id),
        created_at bigint not null,
        expires_at bigint not null
      )`,
      `create index sessions_key on sessions (key_id) where key_id is not null`,
      `create index sessions_expiry on sessions (expires_at)`,

      `create table audit_log (
        id ${place},
        at bigint not null,
        actor text,
        role text,
        key_id text,
        session_id text,
        address text not null,
        action text not null,
        target text not null,
        outcome text not null,
        count integer not null,
        request_id text not null
      )`,
      ...(dialect === 'postgres' ? sealedInPostgres : sealedInSqlite),
    ];
  },
};

const sealedInSqlite = ['update', 'delete'].map(
  (change) =>
    `create trigger audit_log_no_${change} before ${change} on audit_log begin select raise(abort, 'the audit log is append-only'); end`,
);

const sealedInPostgres = [
  `create function audit_log_sealed() returns trigger language plpgsql as $$ begin raise exception 'the audit log is append-only'; end $$`,
  `create trigger audit_log_no_change before update or delete or truncate on audit_log for each statement execute function audit_log_sealed()`,
];
