-- +goose Up

-- VEX documents of a project, as they were given. They are applied to findings when these are read, and change no row
-- of them: a document that goes takes its judgements with it, whatever was scanned or matched meanwhile.
CREATE TABLE vex_document (
    project_id TEXT NOT NULL REFERENCES project (id),
    name       TEXT NOT NULL,
    format     TEXT NOT NULL, -- openvex, csaf
    digest     TEXT NOT NULL, -- SHA-256 of content
    size       BIGINT NOT NULL, -- bytes of content
    statements BIGINT NOT NULL,
    put_by     TEXT NOT NULL, -- access key id
    put_at     BIGINT NOT NULL,
    seq        BIGINT NOT NULL, -- in the project, ascending: the later of two documents counts where their statements are of the same time
    content    BLOB NOT NULL,
    PRIMARY KEY (project_id, name)
);
