-- +goose Up

-- Tenants and what opens them.
CREATE TABLE project (
    id         TEXT PRIMARY KEY,
    name       TEXT NOT NULL,
    created_at BIGINT NOT NULL
);

CREATE TABLE access_key (
    ak         TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES project (id),
    agent_id   TEXT NOT NULL,
    sealed     BLOB NOT NULL,
    disabled   BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX access_key_agent ON access_key (agent_id);

CREATE TABLE token (
    hash       TEXT PRIMARY KEY,
    ak         TEXT NOT NULL,
    project_id TEXT NOT NULL,
    issued_at  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX token_expiry ON token (expires_at);

CREATE TABLE enroll_key (
    hash       TEXT PRIMARY KEY,
    project_id TEXT NOT NULL REFERENCES project (id),
    uses_left  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    created_at BIGINT NOT NULL
);

-- The fleet.
CREATE TABLE agent (
    id          TEXT PRIMARY KEY,
    project_id  TEXT NOT NULL REFERENCES project (id),
    host_id     TEXT NOT NULL,
    host_name   TEXT NOT NULL,
    private_ip  TEXT NOT NULL,
    public_ip   TEXT NOT NULL,
    os          TEXT NOT NULL,
    arch        TEXT NOT NULL,
    version     TEXT NOT NULL,
    engines     TEXT NOT NULL, -- JSON
    analyzers   TEXT NOT NULL,
    images_hash TEXT NOT NULL,
    last_seen   BIGINT NOT NULL,
    created_at  BIGINT NOT NULL
);
CREATE UNIQUE INDEX agent_host ON agent (project_id, host_id);

-- One content is one config digest in one project: what is scanned. Several
-- images (names) share it and move through the states together.
CREATE TABLE content (
    id               BIGINT PRIMARY KEY,
    project_id       TEXT NOT NULL REFERENCES project (id),
    config_digest    TEXT NOT NULL,
    scan_status      TEXT NOT NULL,
    prior_status     TEXT NOT NULL,
    scan_failed_desc TEXT NOT NULL,
    latest_scan_time BIGINT NOT NULL,
    vul_num          BIGINT NOT NULL,
    component_num    BIGINT NOT NULL,
    severity_level   TEXT NOT NULL,
    analyzers        TEXT NOT NULL,
    generation       TEXT NOT NULL, -- of the advisories it was matched with
    diff_ids         TEXT NOT NULL, -- JSON
    config           BLOB,
    distro           TEXT NOT NULL, -- JSON
    gone_at          BIGINT NOT NULL -- 0 while an image has it
);
CREATE UNIQUE INDEX content_digest ON content (project_id, config_digest);
CREATE INDEX content_gone ON content (gone_at);

CREATE TABLE image (
    id              TEXT PRIMARY KEY,
    project_id      TEXT NOT NULL REFERENCES project (id),
    content_id      BIGINT NOT NULL REFERENCES content (id),
    name            TEXT NOT NULL,
    version         TEXT NOT NULL,
    local_type      TEXT NOT NULL,
    size            BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    non_scan_reason TEXT NOT NULL
);
CREATE INDEX image_name ON image (project_id, name, version, id);
CREATE INDEX image_content ON image (content_id);

-- Other digests an image is known by: of its manifest, in a repository.
CREATE TABLE image_digest (
    project_id TEXT NOT NULL,
    digest     TEXT NOT NULL,
    image_id   TEXT NOT NULL,
    PRIMARY KEY (project_id, digest, image_id)
);
CREATE INDEX image_digest_image ON image_digest (image_id);

CREATE TABLE image_host (
    image_id        TEXT NOT NULL REFERENCES image (id),
    agent_id        TEXT NOT NULL REFERENCES agent (id),
    engine          TEXT NOT NULL,
    project_id      TEXT NOT NULL,
    non_scan_reason TEXT NOT NULL,
    PRIMARY KEY (image_id, agent_id, engine)
);
CREATE INDEX image_host_agent ON image_host (agent_id);
CREATE INDEX image_host_project ON image_host (project_id, image_id, agent_id, engine);

CREATE TABLE container (
    image_id     TEXT NOT NULL REFERENCES image (id),
    agent_id     TEXT NOT NULL,
    engine       TEXT NOT NULL,
    container_id TEXT NOT NULL,
    project_id   TEXT NOT NULL,
    name         TEXT NOT NULL,
    pod_id       TEXT NOT NULL,
    pod_name     TEXT NOT NULL,
    entry_point  TEXT NOT NULL,
    running      BIGINT NOT NULL,
    PRIMARY KEY (image_id, agent_id, engine, container_id)
);
CREATE INDEX container_agent ON container (agent_id);
CREATE INDEX container_project ON container (project_id, container_id, agent_id);

-- Facts.
CREATE TABLE layer_report (
    diff_id    TEXT NOT NULL,
    analyzers  TEXT NOT NULL,
    body       BLOB NOT NULL, -- JSON, zstd
    created_at BIGINT NOT NULL,
    PRIMARY KEY (diff_id, analyzers)
);

CREATE TABLE package (
    id             BIGINT PRIMARY KEY,
    type           TEXT NOT NULL,
    name           TEXT NOT NULL,
    version        TEXT NOT NULL,
    arch           TEXT NOT NULL,
    source         TEXT NOT NULL,
    source_version TEXT NOT NULL,
    module         TEXT NOT NULL,
    vendor         TEXT NOT NULL,
    distro         TEXT NOT NULL
);
CREATE INDEX package_name ON package (type, name, version);

CREATE TABLE content_package (
    content_id BIGINT NOT NULL REFERENCES content (id),
    package_id BIGINT NOT NULL REFERENCES package (id),
    path       TEXT NOT NULL,
    layer      TEXT NOT NULL,
    owned_by   TEXT NOT NULL,
    declared   BIGINT NOT NULL,
    licenses   TEXT NOT NULL, -- JSON
    PRIMARY KEY (content_id, package_id, path, layer)
);
CREATE INDEX content_package_package ON content_package (package_id);

-- Conclusions.
CREATE TABLE vulnerability (
    id            TEXT PRIMARY KEY,
    severity_from TEXT NOT NULL,
    score         BIGINT NOT NULL, -- CVSS in tenths, 0 if there is none
    vector        TEXT NOT NULL,
    summary       TEXT NOT NULL,
    url           TEXT NOT NULL,
    published     BIGINT NOT NULL,
    aliases       TEXT NOT NULL -- JSON
);

CREATE TABLE vulnerability_cve (
    vul_id      TEXT NOT NULL REFERENCES vulnerability (id),
    cve_id      TEXT NOT NULL,
    score       BIGINT NOT NULL,
    published   BIGINT NOT NULL,
    description TEXT NOT NULL,
    PRIMARY KEY (vul_id, cve_id)
);

CREATE TABLE finding (
    content_id    BIGINT NOT NULL REFERENCES content (id),
    vul_id        TEXT NOT NULL REFERENCES vulnerability (id),
    package_id    BIGINT NOT NULL REFERENCES package (id),
    path          TEXT NOT NULL,
    layer         TEXT NOT NULL,
    project_id    TEXT NOT NULL,
    vul_type      TEXT NOT NULL, -- linux_vul, app_vul
    severity      BIGINT NOT NULL, -- report.SeverityRank
    fix_state     TEXT NOT NULL,
    fixed_version TEXT NOT NULL,
    evidence      TEXT NOT NULL, -- JSON
    first_seen    BIGINT NOT NULL,
    PRIMARY KEY (content_id, vul_id, package_id, path, layer)
);
CREATE INDEX finding_project ON finding (project_id, vul_type, vul_id, content_id);
CREATE INDEX finding_vul ON finding (project_id, vul_id, content_id);

-- Work.
CREATE TABLE scan_task (
    id            TEXT PRIMARY KEY,
    project_id    TEXT NOT NULL REFERENCES project (id),
    name          TEXT NOT NULL,
    task_type     TEXT NOT NULL, -- manual, cycle
    state         TEXT NOT NULL, -- running, finished, stopped, timed_out
    scan_scope    BIGINT NOT NULL,
    rate_limit    BIGINT NOT NULL,
    is_all        BIGINT NOT NULL,
    total_num     BIGINT NOT NULL,
    success_num   BIGINT NOT NULL,
    failed_num    BIGINT NOT NULL,
    risky_num     BIGINT NOT NULL,
    failed_reason TEXT NOT NULL,
    created_at    BIGINT NOT NULL,
    ended_at      BIGINT NOT NULL
);
CREATE INDEX scan_task_project ON scan_task (project_id, created_at, id);

CREATE TABLE scan_job (
    id          TEXT PRIMARY KEY,
    task_id     TEXT NOT NULL REFERENCES scan_task (id),
    project_id  TEXT NOT NULL,
    content_id  BIGINT NOT NULL,
    state       TEXT NOT NULL, -- waiting, leased, done, failed, stopped
    agent_id    TEXT NOT NULL,
    lease_until BIGINT NOT NULL,
    attempts    BIGINT NOT NULL,
    not_before  BIGINT NOT NULL,
    failure     TEXT NOT NULL,
    message     TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    ended_at    BIGINT NOT NULL
);
CREATE INDEX scan_job_task ON scan_job (task_id);
CREATE INDEX scan_job_queue ON scan_job (project_id, state, created_at, id);
CREATE INDEX scan_job_lease ON scan_job (state, lease_until);
CREATE INDEX scan_job_agent ON scan_job (agent_id, state);
CREATE INDEX scan_job_content ON scan_job (content_id, state);

CREATE TABLE task_image (
    task_id  TEXT NOT NULL REFERENCES scan_task (id),
    image_id TEXT NOT NULL,
    job_id   TEXT NOT NULL REFERENCES scan_job (id),
    name     TEXT NOT NULL,
    version  TEXT NOT NULL,
    PRIMARY KEY (task_id, image_id)
);
CREATE INDEX task_image_job ON task_image (job_id);

-- +goose Down
DROP TABLE task_image;
DROP TABLE scan_job;
DROP TABLE scan_task;
DROP TABLE finding;
DROP TABLE vulnerability_cve;
DROP TABLE vulnerability;
DROP TABLE content_package;
DROP TABLE package;
DROP TABLE layer_report;
DROP TABLE container;
DROP TABLE image_host;
DROP TABLE image_digest;
DROP TABLE image;
DROP TABLE content;
DROP TABLE agent;
DROP TABLE enroll_key;
DROP TABLE token;
DROP TABLE access_key;
DROP TABLE project;
