-- +goose Up

-- What is configured badly in contents (internal/check/baseline), and which passwords are weak (internal/check/password).
--
--   content >-- content_baseline --< baseline --< baseline_rule
--
-- baseline          The answers of all rules of one baseline and standard: which passed and which failed. Images that are alike
--                   give the same answers, so they are said once for all contents that gave them; the id is a hash of check_name,
--                   standard and the rules (store.rowID). A baseline goes with its last content.
-- baseline_rule     A rule that passed (failed = 0) or failed (1), with its severity as a rank of report. What it found and wanted
--                   is not kept: it is asked again, from the layer reports, when someone wants to know.
-- content_baseline  Narrow, both ways indexed: the one table that grows with contents times baselines.
-- baseline_check    rules is the version of the rules that a content was checked with: Store.RecheckBaseline makes the
--                   answers to other versions anew.
-- password_account  Accounts whose password is weak or empty, and those that could not be verified (status, reason); n counts
--                   in a content from 0. masked shows the ends of a weak password, nothing else of it is here. changed is in
--                   days since 1970, 0 if it is not known.
-- password_rules    What a content demands of new passwords: found with the baselines. good is 1 if that is everything. length is 0 if nothing is
--                   demanded. A content that keeps no accounts has no row.
-- weak_words        The words of a project (JSON) that agents guess passwords with beside ours; version is a hash of them.

CREATE TABLE baseline (
    id         BIGINT PRIMARY KEY,
    check_name TEXT NOT NULL,
    standard   TEXT NOT NULL
);
CREATE INDEX baseline_name ON baseline (check_name, standard);

CREATE TABLE baseline_rule (
    baseline_id BIGINT NOT NULL,
    rule_id     TEXT NOT NULL,
    failed      BIGINT NOT NULL,
    severity    BIGINT NOT NULL,
    PRIMARY KEY (baseline_id, rule_id)
);
CREATE INDEX baseline_rule_rule ON baseline_rule (rule_id, baseline_id);

CREATE TABLE content_baseline (
    content_id  BIGINT NOT NULL,
    baseline_id BIGINT NOT NULL,
    PRIMARY KEY (content_id, baseline_id)
);
CREATE INDEX content_baseline_baseline ON content_baseline (baseline_id, content_id);

CREATE TABLE baseline_check (
    content_id BIGINT PRIMARY KEY,
    rules      TEXT NOT NULL
);
CREATE INDEX baseline_check_rules ON baseline_check (rules, content_id);

CREATE TABLE password_account (
    content_id BIGINT NOT NULL,
    n          BIGINT NOT NULL,
    user_name  TEXT NOT NULL,
    service    TEXT NOT NULL,
    path       TEXT NOT NULL,
    layer      TEXT NOT NULL,
    login      BIGINT NOT NULL,
    status     TEXT NOT NULL,
    rule       TEXT NOT NULL,
    masked     TEXT NOT NULL,
    reason     TEXT NOT NULL,
    changed    BIGINT NOT NULL,
    suggestion TEXT NOT NULL,
    PRIMARY KEY (content_id, n)
);

CREATE TABLE password_rules (
    content_id BIGINT PRIMARY KEY,
    good       BIGINT NOT NULL,
    min_length BIGINT NOT NULL,
    length     BIGINT NOT NULL,
    upper_case BIGINT NOT NULL,
    lower_case BIGINT NOT NULL,
    digit      BIGINT NOT NULL,
    special    BIGINT NOT NULL,
    source     TEXT NOT NULL,
    path       TEXT NOT NULL,
    layer      TEXT NOT NULL,
    suggestion TEXT NOT NULL
);

CREATE TABLE weak_words (
    project_id TEXT PRIMARY KEY,
    version    TEXT NOT NULL,
    words      TEXT NOT NULL
);

-- +goose Down
DROP TABLE weak_words;
DROP TABLE password_rules;
DROP TABLE password_account;
DROP TABLE baseline_check;
DROP TABLE content_baseline;
DROP TABLE baseline_rule;
DROP TABLE baseline;
