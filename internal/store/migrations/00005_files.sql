-- +goose Up

-- Which image has which file:
--
--   content --< content_part >-- part --- file_part >-- file_list --< file_entry
--
-- file_list   The files of one layer report. Images that have the layer share it. Its id is a hash of the rest (store.rowID).
-- file_entry  One row for each of them. key is the first 8 bytes of the SHA-256, big-endian, rest the other 24: who looks by
--             key compares rest, since two files with one key can be made.
-- file_part   What an image has of a list: all but hidden, the numbers of those that layers above hide (store.packNumbers).
--             Images of one family share these, as they share packages; such a part has no rows in part_package.
-- content     files says what is known of all of its layers: 0 nothing, or not of all; 1 everything that is looked for;
--             2 some files were left out because of a limit or could not be read.

CREATE TABLE file_list (
    id    BIGINT PRIMARY KEY,
    layer TEXT NOT NULL -- diff ID
);

CREATE TABLE file_entry (
    list_id BIGINT NOT NULL,
    n       BIGINT NOT NULL, -- number in the list, from 0
    key     BIGINT NOT NULL,
    rest    BLOB NOT NULL,
    path    TEXT NOT NULL,
    size    BIGINT NOT NULL,
    mode    BIGINT NOT NULL,
    kind    TEXT NOT NULL, -- report.Kinds
    owned   BIGINT NOT NULL,
    PRIMARY KEY (list_id, n)
);
CREATE INDEX file_entry_key ON file_entry (key, list_id);

CREATE TABLE file_part (
    part_id BIGINT PRIMARY KEY,
    list_id BIGINT NOT NULL,
    hidden  BLOB NOT NULL
);
CREATE INDEX file_part_list ON file_part (list_id);

ALTER TABLE content ADD COLUMN files BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE content DROP COLUMN files;
DROP TABLE file_part;
DROP TABLE file_entry;
DROP TABLE file_list;
