-- +goose Up

-- Enterprise projects, users with roles, keys that rotate, temporary keys, and who did what.
--
-- project         A row with a parent_id is an enterprise project of that project: a tenant of its own, whose id is what the columns
--                 called project_id hold. ep_id is what clients call it. The default enterprise project, '0', is the row of the
--                 project itself, so that everything that was there before belongs to it.
-- api_user        Who may do what in a project. role is viewer, operator or admin; granted are the ids (ep_id) of the enterprise
--                 projects with commas between, '*' for all, those to come too. password is argon2id in PHC form, '' for none.
-- access_key      user_id is empty for the keys of agents. last_used is written once in a while, and not exact.
-- token           ak is empty for one that was issued for a password.
-- temporary_key   A key pair that works together with a token alone, for as long as the key or the password (parent_ak empty) it was
--                 issued for does. sealed is the secret key, token_hash the SHA-256 of the token.
-- audit           What was written or refused. A write has its row before it is done, with status 0, and gets the status when it is
--                 answered: one that stays at 0 was under way when the server ended. Rows are changed in no other way, and go
--                 with age; those of refused requests, which strangers make, with their number too. count is above 1 for refusals
--                 that were put together. objects are ids that the request names, as JSON.

ALTER TABLE project ADD COLUMN parent_id TEXT NOT NULL DEFAULT '';
ALTER TABLE project ADD COLUMN ep_id TEXT NOT NULL DEFAULT '0';
CREATE INDEX project_parent ON project (parent_id, ep_id);

CREATE TABLE api_user (
    id         TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES project (id),
    name       TEXT NOT NULL,
    role       TEXT NOT NULL,
    granted    TEXT NOT NULL,
    password   TEXT NOT NULL,
    disabled   BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE UNIQUE INDEX api_user_name ON api_user (project_id, name);
CREATE INDEX api_user_login ON api_user (name);
INSERT INTO api_user (id, project_id, name, role, granted, password, disabled, created_at)
SELECT id, id, 'admin', 'admin', '*', '', 0, created_at FROM project;

ALTER TABLE access_key ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
ALTER TABLE access_key ADD COLUMN last_used BIGINT NOT NULL DEFAULT 0;
UPDATE access_key SET user_id = project_id WHERE agent_id = '';
CREATE INDEX access_key_user ON access_key (user_id, created_at);

ALTER TABLE token ADD COLUMN user_id TEXT NOT NULL DEFAULT '';
UPDATE token SET user_id = project_id;
CREATE INDEX token_user ON token (user_id);

CREATE TABLE temporary_key (
    ak         TEXT PRIMARY KEY,
    parent_ak  TEXT NOT NULL,
    user_id    TEXT NOT NULL REFERENCES api_user (id),
    sealed     BLOB NOT NULL,
    token_hash TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX temporary_key_expiry ON temporary_key (expires_at);
CREATE INDEX temporary_key_user ON temporary_key (user_id);

CREATE TABLE audit (
    id         BIGINT PRIMARY KEY, -- ascending
    at         BIGINT NOT NULL,
    request_id TEXT NOT NULL,
    user_name  TEXT NOT NULL,
    ak         TEXT NOT NULL,
    client     TEXT NOT NULL,
    operation  TEXT NOT NULL,
    project_id TEXT NOT NULL,
    ep_id      TEXT NOT NULL,
    objects    TEXT NOT NULL,
    status     BIGINT NOT NULL,
    refused    BIGINT NOT NULL,
    count      BIGINT NOT NULL
);
CREATE INDEX audit_at ON audit (at, id);
CREATE INDEX audit_user ON audit (user_name, at, id);
CREATE INDEX audit_refused ON audit (refused, id);
CREATE INDEX audit_ak ON audit (ak, at, id);
CREATE INDEX audit_project ON audit (project_id, at, id);

-- +goose Down
DROP TABLE audit;
DROP TABLE temporary_key;
DROP INDEX token_user;
ALTER TABLE token DROP COLUMN user_id;
DROP INDEX access_key_user;
ALTER TABLE access_key DROP COLUMN last_used;
ALTER TABLE access_key DROP COLUMN user_id;
DROP TABLE api_user;
DROP INDEX project_parent;
ALTER TABLE project DROP COLUMN ep_id;
ALTER TABLE project DROP COLUMN parent_id;
