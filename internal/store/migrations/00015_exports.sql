-- +goose Up

-- Reports that people ask for as files, and the files.
--
-- export_task   One row for each. tenants (JSON) are those it is about, in the order of the file; project_id is the first. query
--               (JSON of store.ReportQuery), format and max_records say what goes in; record_num is how many records there were
--               when it was accepted. state is waiting, running, success or failure. Who makes the file holds a lease (lease_until,
--               ms): a lease that lapses is given out again, with a file id of its own, so that what a server that was taken for
--               dead still writes goes nowhere. expires_at (ms) is 0 until the task has ended; then file and row go.
-- export_chunk  The files, in pieces of 1 MiB, n from 0. They are here and not in a directory, so that every server on the
--               database can hand them out, and a backup has them.
-- export_drop   Work table: files whose pieces are to be removed, some at a time.

CREATE TABLE export_task (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL,
    tenants     TEXT NOT NULL,
    name        TEXT NOT NULL,
    query       TEXT NOT NULL,
    format      TEXT NOT NULL,
    max_records BIGINT NOT NULL,
    record_num  BIGINT NOT NULL,
    state       TEXT NOT NULL,
    created_by  TEXT NOT NULL, -- access key id
    created_at  BIGINT NOT NULL,
    attempts    BIGINT NOT NULL,
    lease_until BIGINT NOT NULL,
    ended_at    BIGINT NOT NULL,
    expires_at  BIGINT NOT NULL,
    reason      TEXT NOT NULL, -- of a failure
    file_id     TEXT NOT NULL, -- '' before the first lease
    file_name   TEXT NOT NULL,
    size        BIGINT NOT NULL, -- bytes
    digest      TEXT NOT NULL -- SHA-256 of the file
);
CREATE INDEX export_task_state ON export_task (state, created_at, id);
CREATE INDEX export_task_project ON export_task (project_id, created_at, id);
CREATE INDEX export_task_file ON export_task (file_id);
CREATE INDEX export_task_expiry ON export_task (expires_at);

CREATE TABLE export_chunk (
    file_id TEXT NOT NULL,
    n       BIGINT NOT NULL,
    body    BLOB NOT NULL,
    PRIMARY KEY (file_id, n)
);

CREATE TABLE export_drop (
    file_id TEXT PRIMARY KEY
);

-- +goose Down
DROP TABLE export_drop;
DROP TABLE export_chunk;
DROP TABLE export_task;
