-- +goose Up

-- What the checks beside that for packages have found in a content, a row for each check that was made.
--
-- content_check  name is one of report.Checks, key that of the rules and analysers that it was made with. num counts what was
--                found, without what a list or a decision of the operator sets aside; severity is the worst of these, as a
--                rank of report, 0 if there is none. partial says that not every layer was read to its end. A content
--                without a row was not looked at.
-- content        check_severity is the worst severity of its rows of content_check.

CREATE TABLE content_check (
    content_id BIGINT NOT NULL,
    name       TEXT NOT NULL,
    key        TEXT NOT NULL,
    num        BIGINT NOT NULL,
    severity   BIGINT NOT NULL,
    partial    BIGINT NOT NULL,
    checked_at BIGINT NOT NULL,
    PRIMARY KEY (content_id, name)
);

ALTER TABLE content ADD COLUMN check_severity BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE content DROP COLUMN check_severity;
DROP TABLE content_check;
