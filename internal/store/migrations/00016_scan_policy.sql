-- +goose Up

-- Scans that come round, and what keeps a task to its rate.
--
-- scan_policy  The periodic scan of a project: one row, made by the first change. cycle is in days, time_scope too (only images
--              made within so many, 0 for all), rate_limit in images per hour (0 for none). next_at is when it fires next: the
--              transaction that makes the task moves it, so that of several servers one fires. last_at is the time that the
--              last task was planned for, 0 before the first; next_at is last_at and one cycle.
-- scan_start   When jobs of a task with a rate limit were given out, those of the last hour: a task gives out no more than its
--              rate_limit allows in any hour, whichever server and whichever agent asks.
-- scan_task.policy_id  The policy that made it, '' for a manual one.
-- agent.poll   The poll that counts, of whichever server it is parked at: an agent has gone over to another server, or has given
--              up waiting, if it is not that of the one who asks.

CREATE TABLE scan_policy (
    project_id TEXT PRIMARY KEY REFERENCES project (id),
    id         TEXT NOT NULL,
    enabled    BIGINT NOT NULL,
    cycle      BIGINT NOT NULL,
    scan_scope BIGINT NOT NULL,
    rate_limit BIGINT NOT NULL,
    time_scope BIGINT NOT NULL,
    last_at    BIGINT NOT NULL,
    next_at    BIGINT NOT NULL,
    changed_by TEXT NOT NULL, -- access key
    changed_at BIGINT NOT NULL
);
CREATE INDEX scan_policy_due ON scan_policy (enabled, next_at);

CREATE TABLE scan_start (
    task_id TEXT NOT NULL,
    at      BIGINT NOT NULL,
    job_id  TEXT NOT NULL,
    PRIMARY KEY (task_id, at, job_id)
);

ALTER TABLE agent ADD COLUMN poll TEXT NOT NULL DEFAULT '';
ALTER TABLE scan_task ADD COLUMN policy_id TEXT NOT NULL DEFAULT '';
CREATE INDEX scan_task_running ON scan_task (project_id, state, rate_limit);
CREATE INDEX scan_job_ended ON scan_job (task_id, ended_at);

-- +goose Down
DROP INDEX scan_job_ended;
DROP INDEX scan_task_running;
ALTER TABLE scan_task DROP COLUMN policy_id;
ALTER TABLE agent DROP COLUMN poll;
DROP TABLE scan_start;
DROP TABLE scan_policy;
