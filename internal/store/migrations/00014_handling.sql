-- +goose Up

-- What operators say of vulnerabilities: that they ignore them, have repaired them by hand, or have them on a whitelist. Such
-- a vulnerability is handled: it is listed and does not count.
--
-- vul_handled          One row for each content, advisory and reason to count it as handled: rule_id is 0 for a decision (action is
--                      ignore or manual_repair), else the rule of the whitelist for specific images. decided_by is an access
--                      key id, decided_at in ms. content_id is made from the project and the config digest (store.contentID), so
--                      that a row holds whatever becomes of the image: it outlives its content, its findings and its scans.
-- whitelist            A rule for one advisory: for all images of a project, those that come later included (all_images), or
--                      for some (specific_images). origin is 'rule', or 'handling' for the one rule of an advisory that
--                      HandleImageVulnerability adds to. vul_type is that of the advisory when the rule was made.
-- whitelist_image      The images of a rule for specific images, as they were named.
-- vul_operation        What was done, by whom and why, ids ascending in a project. through counts the rows below of all
--                      operations up to this one: the oldest are forgotten when there are too many rows.
-- vul_operation_image  The images and advisories of an operation. package_id is one of the packages that have it in the image,
--                      handled is whether it was handled afterwards.
-- operated_image       Images of operations, as they were: the history of an image stays when the image goes.
--
-- matching             handled_revision grows with each change of vul_handled and whitelist: what lists in memory follow.
-- content              vul_num, vul_critical ... count what is not handled, from now on.

CREATE TABLE vul_handled (
    content_id BIGINT NOT NULL,
    vul_id     BIGINT NOT NULL,
    rule_id    BIGINT NOT NULL,
    action     TEXT NOT NULL,
    decided_by TEXT NOT NULL,
    decided_at BIGINT NOT NULL,
    reason     TEXT NOT NULL,
    PRIMARY KEY (content_id, vul_id, rule_id)
);
CREATE INDEX vul_handled_vul ON vul_handled (vul_id, content_id);
CREATE INDEX vul_handled_rule ON vul_handled (rule_id) WHERE rule_id > 0;

CREATE TABLE whitelist (
    id          BIGINT PRIMARY KEY,
    project_id  TEXT NOT NULL,
    vul_id      BIGINT NOT NULL,
    vul_type    TEXT NOT NULL,
    rule_type   TEXT NOT NULL, -- all_images, specific_images
    origin      TEXT NOT NULL,
    description TEXT NOT NULL,
    added_by    TEXT NOT NULL,
    added_at    BIGINT NOT NULL
);
CREATE INDEX whitelist_newest ON whitelist (project_id, added_at DESC, id);
CREATE INDEX whitelist_vul ON whitelist (project_id, vul_id);
CREATE INDEX whitelist_all ON whitelist (vul_id, project_id) WHERE rule_type = 'all_images';

CREATE TABLE whitelist_image (
    rule_id    BIGINT NOT NULL,
    image_id   TEXT NOT NULL,
    name       TEXT NOT NULL,
    content_id BIGINT NOT NULL,
    PRIMARY KEY (rule_id, image_id)
);

CREATE TABLE vul_operation (
    project_id TEXT NOT NULL,
    id         BIGINT NOT NULL,
    action     TEXT NOT NULL,
    done_by    TEXT NOT NULL,
    done_at    BIGINT NOT NULL,
    remark     TEXT NOT NULL,
    through    BIGINT NOT NULL,
    PRIMARY KEY (project_id, id)
);
CREATE INDEX vul_operation_through ON vul_operation (project_id, through);

CREATE TABLE vul_operation_image (
    project_id   TEXT NOT NULL,
    vul_id       BIGINT NOT NULL,
    operation_id BIGINT NOT NULL,
    image_id     TEXT NOT NULL,
    package_id   BIGINT NOT NULL,
    handled      BIGINT NOT NULL,
    PRIMARY KEY (project_id, vul_id, operation_id, image_id)
);
CREATE INDEX vul_operation_image_operation ON vul_operation_image (project_id, operation_id);

CREATE TABLE operated_image (
    id            TEXT PRIMARY KEY,
    content_id    BIGINT NOT NULL,
    config_digest TEXT NOT NULL,
    name          TEXT NOT NULL,
    version       TEXT NOT NULL
);

ALTER TABLE matching ADD COLUMN handled_revision BIGINT NOT NULL DEFAULT 0;

-- +goose Down
ALTER TABLE matching DROP COLUMN handled_revision;
DROP TABLE operated_image;
DROP TABLE vul_operation_image;
DROP TABLE vul_operation;
DROP TABLE whitelist_image;
DROP TABLE whitelist;
DROP TABLE vul_handled;
