-- +goose Up

-- Secrets and malware of the images, and what the operator says of them.
--
-- secret           a place that holds a secret, without the secret: in a file of a layer, however many images have that layer,
--                  or in the configuration of an image ("env:NAME", layer is ''). id is made from the place and the rule, so that
--                  a scan of the same layer finds the same id. severity is a rank of report, seen_at when a scan found it last
--                  (ms). ignored is what secret_decision says, skipped what path_whitelist said at its revision judged.
-- content_secret   which contents have it; deleted says that a later layer hides the file.
-- secret_decision  what was done about a secret, by whom (an access key id) and when (ms). It outlives the secret: one that is
--                  found again is still ignored.
-- path_whitelist   the paths of a project whose secrets do not count, in the order of the list (n).
-- path_revision    grows with each change of a project's list.
-- secret_recount   work table: contents whose row in content_check is to be counted anew.
-- malware          a malicious file or entry of an archive (inner_path) of a content, n by the severity. findings (JSON) are what
--                  the engines say of it.
-- content_detail   config is sealed from now on, since there may be passwords in it. build_rules = '' lets Store.Run check the
--                  build commands of older rows anew, and seal them by the way.

CREATE TABLE secret (
    id         BIGINT PRIMARY KEY,
    project_id TEXT NOT NULL,
    rule       TEXT NOT NULL,
    title      TEXT NOT NULL,
    kind       TEXT NOT NULL,
    severity   BIGINT NOT NULL,
    path       TEXT NOT NULL,
    line       BIGINT NOT NULL,
    col        BIGINT NOT NULL,
    masked     TEXT NOT NULL,
    length     BIGINT NOT NULL,
    context    TEXT NOT NULL,
    encrypted  BIGINT NOT NULL,
    test       BIGINT NOT NULL,
    layer      TEXT NOT NULL,
    seen_at    BIGINT NOT NULL,
    ignored    BIGINT NOT NULL,
    skipped    BIGINT NOT NULL,
    judged     BIGINT NOT NULL
);
CREATE INDEX secret_worst ON secret (project_id, severity DESC, id);
CREATE INDEX secret_judged ON secret (project_id, judged);

CREATE TABLE content_secret (
    content_id BIGINT NOT NULL,
    secret_id  BIGINT NOT NULL,
    deleted    BIGINT NOT NULL,
    PRIMARY KEY (content_id, secret_id)
);
CREATE INDEX content_secret_secret ON content_secret (secret_id, content_id);

CREATE TABLE secret_decision (
    secret_id  BIGINT PRIMARY KEY,
    project_id TEXT NOT NULL,
    action     TEXT NOT NULL,
    decided_by TEXT NOT NULL,
    decided_at BIGINT NOT NULL
);

CREATE TABLE path_whitelist (
    project_id TEXT NOT NULL,
    n          BIGINT NOT NULL,
    path       TEXT NOT NULL,
    added_by   TEXT NOT NULL,
    added_at   BIGINT NOT NULL,
    PRIMARY KEY (project_id, n)
);

CREATE TABLE path_revision (
    project_id TEXT PRIMARY KEY,
    revision   BIGINT NOT NULL
);

CREATE TABLE secret_recount (
    content_id BIGINT PRIMARY KEY
);

CREATE TABLE malware (
    content_id BIGINT NOT NULL,
    n          BIGINT NOT NULL,
    project_id TEXT NOT NULL,
    severity   BIGINT NOT NULL,
    name       TEXT NOT NULL,
    path       TEXT NOT NULL,
    inner_path TEXT NOT NULL,
    size       BIGINT NOT NULL,
    modified   BIGINT NOT NULL,
    sha256     TEXT NOT NULL,
    layer      TEXT NOT NULL,
    deleted    BIGINT NOT NULL,
    findings   TEXT NOT NULL,
    PRIMARY KEY (content_id, n)
);
CREATE INDEX malware_worst ON malware (project_id, severity DESC, content_id, n);

UPDATE content_detail SET build_rules = '';

-- +goose Down
DROP TABLE malware;
DROP TABLE secret_recount;
DROP TABLE path_revision;
DROP TABLE path_whitelist;
DROP TABLE secret_decision;
DROP TABLE content_secret;
DROP TABLE secret;
