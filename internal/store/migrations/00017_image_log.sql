-- +goose Up
-- image_log  What happened to the local images of a project, newest last: the image operation log of HSS. The id counts from 1
--            in each project without gaps, so that the oldest entries are forgotten by number (see store.keepLog). Entries are
--            written by the transaction that does what they tell of, and are never changed.
--            event_type     image, scan, vulnerability, sensitive_info, whitelist
--            event_name     image_appeared, image_left, scan_requested, scan_stopped, scan_succeeded, scan_failed, and of decisions vul_ignored,
--                           vul_not_ignored, vul_whitelisted, vul_repaired, sensitive_info_ignored, sensitive_info_not_ignored, whitelist_added,
--                           whitelist_changed, whitelist_deleted
--            resource_type  image, host, scan_task, vulnerability, sensitive_info, whitelist_rule, path_whitelist; resource_name names one of these
--            source_ip      of the client of the API, or of the host; '' for the server itself
--            user_name      an access key, "agent " and the name of its host, or "onceover" for the server itself
--            content        one sentence
--            The second index has all that filters look at, so that a question reads no rows but those of its page.
CREATE TABLE image_log (
    project_id    TEXT NOT NULL REFERENCES project (id),
    id            BIGINT NOT NULL,
    at            BIGINT NOT NULL,
    event_type    TEXT NOT NULL,
    event_name    TEXT NOT NULL,
    resource_type TEXT NOT NULL,
    resource_name TEXT NOT NULL,
    source_ip     TEXT NOT NULL,
    user_name     TEXT NOT NULL,
    content       TEXT NOT NULL,
    PRIMARY KEY (project_id, id)
);
CREATE INDEX image_log_filter ON image_log (project_id, id, at, event_type, event_name, resource_type, source_ip, user_name, resource_name);

-- +goose Down
DROP TABLE image_log;
