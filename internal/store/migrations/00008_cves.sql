-- +goose Up

-- The CVEs that a finding is about, with commas: which of its advisory's that
-- are may differ from package to package. Empty until the package is matched
-- again, as all are after this version's first start.
ALTER TABLE finding ADD COLUMN cves TEXT NOT NULL DEFAULT '';
