// Package store keeps what the server knows, in one SQL database: tenants and
// their keys, the fleet and its images, layer reports, what is in each image,
// findings, and the queue of scans.
//
// It stands between the agents (it implements fleet.Enroller, fleet.Work and
// fleet.Reports), the authenticator (auth.Keys, auth.Projects) and those who
// ask (packages hss and query). When a job is finished it merges the layer
// reports, has the packages that are new to the fleet matched by
// Config.Advisories, and stores the outcome and the new state in one
// transaction; merging and matching happen outside of it.
//
// The unit that is scanned is a content: one config digest in one project. The
// images of the API are names of contents, (config digest, name, version), one
// row over all hosts; images of one content share its scan and its state.
// Packages, what a layer contributes to an image, and findings are rows that
// all contents share, so that Rematch brings the whole fleet to a new generation
// by the packages that it concerns. migrations/00003_fleet.sql describes them.
//
// The SQL is one text, written for SQLite and PostgreSQL alike: numbered
// placeholders, TEXT, BIGINT and BLOB only, times in Unix milliseconds; what
// differs stands in engine.go. One transaction writes at a time with both. Secret
// keys are sealed with AES-256-GCM; enrolment keys and tokens are stored as
// SHA-256 hashes.
//
// Errors that a caller can do something about carry a fault code; all others
// are internal.
package store
