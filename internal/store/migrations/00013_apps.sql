-- +goose Up

-- Which software an operator's deny list denies, what images were built from, and how many rows the lists of software and files
-- have.
--
-- non_compliant   One row for each place of a package (part_package) that a rule of the list denies. It belongs to the part, so that
--                 images of one family share it as they share their packages. id is that of policy.Violation.
-- part            policy is the version of the list that the rows of a part were made with, '' for no list: Store.Run judges those
--                 of other versions anew. denied counts the rows.
-- content         app_num counts the places of installed packages: the rows that it brings into the list of all software.
-- content_detail  chain is the chain ID of the whole stack, '' if that was not worked out yet, '-' for an image without layers;
--                 steps counts the entries of the history, system_layer is the diff ID of the layer that brought the distribution.
-- file_part       num and size (bytes) are of the files of the list that are not hidden, -1 if they were not counted yet.

CREATE TABLE non_compliant (
    part_id BIGINT NOT NULL,
    n       BIGINT NOT NULL,
    id      TEXT NOT NULL,
    PRIMARY KEY (part_id, n)
);

ALTER TABLE part ADD COLUMN policy TEXT NOT NULL DEFAULT '';
ALTER TABLE part ADD COLUMN denied BIGINT NOT NULL DEFAULT 0;
CREATE INDEX part_policy ON part (policy);
CREATE INDEX part_denied ON part (denied, id);

ALTER TABLE content ADD COLUMN app_num BIGINT NOT NULL DEFAULT 0;
UPDATE content SET app_num = (SELECT COUNT(*) FROM content_part cp JOIN part_package pp ON pp.part_id = cp.part_id WHERE cp.content_id = content.id AND pp.declared = 0);

ALTER TABLE content_detail ADD COLUMN chain TEXT NOT NULL DEFAULT '';
ALTER TABLE content_detail ADD COLUMN steps BIGINT NOT NULL DEFAULT 0;
ALTER TABLE content_detail ADD COLUMN system_layer TEXT NOT NULL DEFAULT '';
CREATE INDEX content_detail_chain ON content_detail (chain, content_id);

ALTER TABLE file_part ADD COLUMN num BIGINT NOT NULL DEFAULT -1;
ALTER TABLE file_part ADD COLUMN size BIGINT NOT NULL DEFAULT -1;
CREATE INDEX file_part_uncounted ON file_part (part_id) WHERE num < 0;

-- +goose Down
DROP INDEX file_part_uncounted;
ALTER TABLE file_part DROP COLUMN size;
ALTER TABLE file_part DROP COLUMN num;
DROP INDEX content_detail_chain;
ALTER TABLE content_detail DROP COLUMN system_layer;
ALTER TABLE content_detail DROP COLUMN steps;
ALTER TABLE content_detail DROP COLUMN chain;
ALTER TABLE content DROP COLUMN app_num;
DROP INDEX part_denied;
DROP INDEX part_policy;
ALTER TABLE part DROP COLUMN denied;
ALTER TABLE part DROP COLUMN policy;
DROP TABLE non_compliant;
