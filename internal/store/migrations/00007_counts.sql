-- +goose Up

-- What a re-match changes is counted in memory, see store.shiftCounts.
DROP TABLE rematch_change;
