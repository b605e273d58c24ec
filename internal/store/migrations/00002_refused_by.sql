-- +goose Up
-- The agents that had the job and could not read the image at their place,
-- each followed by a space.
ALTER TABLE scan_job ADD COLUMN refused_by TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE scan_job DROP COLUMN refused_by;
