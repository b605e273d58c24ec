-- +goose Up

-- Everything that many images share is said once for the fleet:
--
--   image >-- content --< content_part >-- part --< part_package >-- package --< finding >-- vulnerability --< vulnerability_cve
--
-- package          What matching reads of a package, its distribution included. Matched once, whoever has it. Its id is a
--                  hash of the rest of the row (store.rowID), and so are those of distro, part, vulnerability, coverage.
-- package_key      The names under which advisories of a package are looked up: where a difference of two generations
--                  finds the packages that it concerns.
-- part             What one layer contributes to an image: the packages that are still there in the end. Images of one
--                  family share their parts, as they share their layers; an image has one part for each layer that
--                  brought packages (layer "" for packages of none).
-- part_package     One row for each package and place (path). counted is 1 for those that are installed and belong to
--                  no other package (declared = 0 and owned_by = ''): only these have findings in an image.
-- content_part     Narrow, both ways indexed: the one table that grows with images times layers.
-- project_package  The packages that some content of a project has or had. A filter, never an answer: an image that is
--                  shown is always reached through content.project_id.
-- finding          One row for each package and advisory. Those of an image follow by join.
-- content          Counts distinct advisories: vul_num = vul_critical + vul_high + vul_medium + vul_low + vul_unknown,
--                  each advisory by the worst severity among the counted packages of the content. They agree with
--                  finding after every transaction. revision is the number of the transaction that last changed its
--                  images, hosts, containers or parts: what the index in memory follows (see internal/store/index.go).
-- coverage         What of an inventory decides whether the advisories cover it. warned follows the generation; an
--                  image without findings is called safe only if it is 0 and content.unread is 0.
-- matching         One row (id 1): the generation that the findings follow, and the re-match under way. Every package
--                  with matched = 1 has the findings of that generation, or of a later one, or stands in
--                  rematch_queue. The queue is the cursor of the re-match: what is left of it after a kill is done next.
-- rematch_change   Work table of one batch; empty between transactions. was and is_now are report.SeverityRank, -1
--                  for no finding.
-- finding_event    What a re-match found that was not there, lost, or rated anew: new, gone, changed.
--
-- A fleet can be loaded table by table in the order distro, package, package_key, part, part_package, content,
-- content_detail, content_part, project_package, vulnerability, vulnerability_cve, finding, image, image_host, container.

DROP INDEX content_package_package;
DROP INDEX package_name;
DROP INDEX finding_project;
DROP INDEX finding_vul;
ALTER TABLE content_package RENAME TO old_content_package;
ALTER TABLE finding RENAME TO old_finding;
ALTER TABLE vulnerability_cve RENAME TO old_vulnerability_cve;
ALTER TABLE vulnerability RENAME TO old_vulnerability;
ALTER TABLE package RENAME TO old_package;

CREATE TABLE distro (
    id   BIGINT PRIMARY KEY,
    body TEXT NOT NULL -- JSON of report.Distro
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
    distro_id      BIGINT NOT NULL, -- 0 if the distribution means nothing to it
    matched        BIGINT NOT NULL  -- 1 once it was matched, and is matched again with each difference
);
CREATE INDEX package_name ON package (name, type, version);
CREATE INDEX package_type ON package (type, name, version);

CREATE TABLE package_key (
    name       TEXT NOT NULL,
    package_id BIGINT NOT NULL,
    PRIMARY KEY (name, package_id)
);

CREATE TABLE part (
    id    BIGINT PRIMARY KEY,
    layer TEXT NOT NULL -- diff ID
);

CREATE TABLE part_package (
    part_id    BIGINT NOT NULL,
    n          BIGINT NOT NULL, -- number in the part, from 0
    package_id BIGINT NOT NULL,
    counted    BIGINT NOT NULL,
    declared   BIGINT NOT NULL,
    owned_by   TEXT NOT NULL,
    path       TEXT NOT NULL,
    licenses   TEXT NOT NULL, -- JSON, '' for none
    PRIMARY KEY (part_id, n)
);
CREATE INDEX part_package_package ON part_package (package_id, counted, part_id);

CREATE TABLE content_part (
    content_id BIGINT NOT NULL,
    part_id    BIGINT NOT NULL,
    PRIMARY KEY (content_id, part_id)
);
CREATE INDEX content_part_part ON content_part (part_id, content_id);

CREATE TABLE project_package (
    project_id TEXT NOT NULL,
    package_id BIGINT NOT NULL,
    PRIMARY KEY (project_id, package_id)
);

-- What a content was made from: wide, and not read where counters are.
CREATE TABLE content_detail (
    content_id BIGINT PRIMARY KEY,
    analyzers  TEXT NOT NULL,
    generation TEXT NOT NULL, -- of the advisories at its last scan
    diff_ids   TEXT NOT NULL, -- JSON
    config     BLOB,
    distro     TEXT NOT NULL -- JSON
);
INSERT INTO content_detail (content_id, analyzers, generation, diff_ids, config, distro)
SELECT id, analyzers, generation, diff_ids, config, distro FROM content;
ALTER TABLE content DROP COLUMN analyzers;
ALTER TABLE content DROP COLUMN generation;
ALTER TABLE content DROP COLUMN diff_ids;
ALTER TABLE content DROP COLUMN config;
ALTER TABLE content DROP COLUMN distro;
ALTER TABLE content ADD COLUMN first_scan_time BIGINT NOT NULL DEFAULT 0;
ALTER TABLE content ADD COLUMN vul_critical BIGINT NOT NULL DEFAULT 0;
ALTER TABLE content ADD COLUMN vul_high BIGINT NOT NULL DEFAULT 0;
ALTER TABLE content ADD COLUMN vul_medium BIGINT NOT NULL DEFAULT 0;
ALTER TABLE content ADD COLUMN vul_low BIGINT NOT NULL DEFAULT 0;
ALTER TABLE content ADD COLUMN vul_unknown BIGINT NOT NULL DEFAULT 0;
ALTER TABLE content ADD COLUMN unread BIGINT NOT NULL DEFAULT 0; -- 1: software may be there that no report tells of
ALTER TABLE content ADD COLUMN coverage_id BIGINT NOT NULL DEFAULT 0; -- 0 before the first scan
CREATE INDEX content_coverage ON content (coverage_id);
ALTER TABLE content ADD COLUMN revision BIGINT NOT NULL DEFAULT 0; -- grows when its images, hosts, containers or parts change
CREATE INDEX content_revision ON content (revision);

CREATE TABLE coverage (
    id        BIGINT PRIMARY KEY,
    inventory TEXT NOT NULL, -- JSON of a report.Inventory with one package of each kind
    warned    BIGINT NOT NULL
);

CREATE TABLE vulnerability (
    id            BIGINT PRIMARY KEY,
    advisory      TEXT NOT NULL, -- its id
    severity_from TEXT NOT NULL,
    score         BIGINT NOT NULL, -- CVSS in tenths, 0 if there is none
    vector        TEXT NOT NULL,
    summary       TEXT NOT NULL,
    url           TEXT NOT NULL,
    published     BIGINT NOT NULL,
    aliases       TEXT NOT NULL -- JSON
);
CREATE UNIQUE INDEX vulnerability_advisory ON vulnerability (advisory);

CREATE TABLE vulnerability_cve (
    vul_id      BIGINT NOT NULL REFERENCES vulnerability (id),
    cve_id      TEXT NOT NULL,
    score       BIGINT NOT NULL,
    published   BIGINT NOT NULL,
    description TEXT NOT NULL,
    PRIMARY KEY (vul_id, cve_id)
);
CREATE INDEX vulnerability_cve_cve ON vulnerability_cve (cve_id, vul_id);

CREATE TABLE finding (
    package_id    BIGINT NOT NULL,
    vul_id        BIGINT NOT NULL,
    vul_type      TEXT NOT NULL, -- linux_vul, app_vul
    severity      BIGINT NOT NULL, -- report.SeverityRank
    fix_state     TEXT NOT NULL,
    fixed_version TEXT NOT NULL,
    evidence      TEXT NOT NULL, -- JSON of report.Evidence, without the build command
    first_seen    BIGINT NOT NULL, -- in any image
    PRIMARY KEY (package_id, vul_id)
);
CREATE INDEX finding_vul ON finding (vul_id, package_id);

CREATE TABLE matching (
    id         BIGINT PRIMARY KEY,
    from_gen   TEXT NOT NULL, -- the generation before
    generation TEXT NOT NULL, -- the one that the findings follow; '' before the first
    rules      TEXT NOT NULL, -- of package match, see match.Rules
    state      TEXT NOT NULL, -- done, running
    total      BIGINT NOT NULL, -- packages queued
    changed    BIGINT NOT NULL, -- findings that came, went or were rated anew
    started_at BIGINT NOT NULL,
    ended_at   BIGINT NOT NULL,
    revision   BIGINT NOT NULL  -- the highest that a content was given
);
INSERT INTO matching (id, from_gen, generation, rules, state, total, changed, started_at, ended_at, revision) VALUES (1, '', '', '', 'done', 0, 0, 0, 0, 0);

CREATE TABLE rematch_queue (
    package_id BIGINT PRIMARY KEY
);

CREATE TABLE rematch_change (
    package_id BIGINT NOT NULL,
    vul_id     BIGINT NOT NULL,
    was        BIGINT NOT NULL,
    is_now     BIGINT NOT NULL,
    PRIMARY KEY (vul_id, package_id)
);

CREATE TABLE finding_event (
    id         BIGINT PRIMARY KEY, -- ascending
    at         BIGINT NOT NULL,
    generation TEXT NOT NULL,
    kind       TEXT NOT NULL, -- new, gone, changed
    vul_id     BIGINT NOT NULL,
    package_id BIGINT NOT NULL,
    was        BIGINT NOT NULL, -- as in rematch_change
    is_now     BIGINT NOT NULL
);
CREATE INDEX finding_event_vul ON finding_event (vul_id, id);
