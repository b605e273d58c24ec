-- +goose Up

-- Risks in the commands that built a content (internal/check/buildcmd), a row for each rule that it breaks.
--
-- build_risk      num counts the instructions that break the rule, instructions (JSON) are the first of them, secrets masked.
-- content_detail  build_rules is the version of the rules that the rows of a content were made with: Store.Run makes those of
--                 other versions anew.

CREATE TABLE build_risk (
    content_id   BIGINT NOT NULL,
    rule_id      TEXT NOT NULL,
    num          BIGINT NOT NULL,
    instructions TEXT NOT NULL,
    PRIMARY KEY (content_id, rule_id)
);
CREATE INDEX build_risk_rule ON build_risk (rule_id, content_id);

ALTER TABLE content_detail ADD COLUMN build_rules TEXT NOT NULL DEFAULT '';
CREATE INDEX content_detail_build ON content_detail (build_rules);

-- +goose Down
DROP INDEX content_detail_build;
ALTER TABLE content_detail DROP COLUMN build_rules;
DROP TABLE build_risk;
