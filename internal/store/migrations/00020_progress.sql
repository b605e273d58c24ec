-- +goose Up

-- Who asked for a scan, and in which order its images came to their end.
--
-- scan_task  created_by is the access key that asked for it; '' for those that the server began itself, and those from before.
-- scan_job   done_num is how many images of the task had ended when this job had, its own among them: the jobs of a task that were
--            done or failed have growing numbers, whatever the clocks of the servers say. 0 until then, and for jobs that were stopped.

ALTER TABLE scan_task ADD COLUMN created_by TEXT NOT NULL DEFAULT '';
ALTER TABLE scan_job ADD COLUMN done_num BIGINT NOT NULL DEFAULT 0;
CREATE INDEX scan_job_done ON scan_job (task_id, done_num);
CREATE INDEX task_image_name ON task_image (task_id, name, version, image_id);

-- +goose Down
DROP INDEX task_image_name;
DROP INDEX scan_job_done;
ALTER TABLE scan_job DROP COLUMN done_num;
ALTER TABLE scan_task DROP COLUMN created_by;
