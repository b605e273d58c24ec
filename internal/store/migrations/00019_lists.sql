-- +goose Up

-- Indexes for lists that look for a part of a name: such a look-up reads all names, which an index has side by side.
CREATE INDEX container_name ON container (project_id, name, image_id);
CREATE INDEX container_pod ON container (project_id, pod_name, image_id);
CREATE INDEX container_pod_id ON container (project_id, pod_id, image_id);
CREATE INDEX password_account_user ON password_account (status, user_name, content_id);
CREATE INDEX package_names ON package (name, id);

-- +goose Down
DROP INDEX package_names;
DROP INDEX password_account_user;
DROP INDEX container_pod_id;
DROP INDEX container_pod;
DROP INDEX container_name;
