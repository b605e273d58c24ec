package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/google/uuid"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/fleet"
)

var _ fleet.Enroller = (*Store)(nil)

const (
	sqlEnrollKey = `SELECT project_id, uses_left, expires_at FROM enroll_key WHERE hash = $1`
	sqlSpend     = `UPDATE enroll_key SET uses_left = uses_left - 1 WHERE hash = $1`
	sqlAgentHost = `SELECT id FROM agent WHERE project_id = $1 AND host_id = $2`
	// An agent that is enrolled anew knows nothing of before: its list of
	// images is asked for again.
	sqlResetAgent   = `UPDATE agent SET images_hash = '' WHERE id = $1`
	sqlInsertAgent  = `INSERT INTO agent (id, project_id, host_id, host_name, private_ip, public_ip, os, arch, version, engines, analyzers, images_hash, last_seen, created_at) VALUES ($1, $2, $3, '', '', '', '', '', '', '[]', '', '', 0, $4)`
	sqlDropAgentKey = `DELETE FROM access_key WHERE agent_id = $1`
	sqlUpdateAgent  = `UPDATE agent SET host_name = $1, private_ip = $2, public_ip = $3, os = $4, arch = $5, version = $6, engines = $7, analyzers = $8, last_seen = $9, poll = $10 WHERE id = $11`
)

// Enroll implements fleet.Enroller. The keys that an agent of this host had
// before stop working.
func (s *Store) Enroll(ctx context.Context, req fleet.EnrollRequest, nowMS int64) (fleet.EnrollResponse, error) {
	if req.Host.ID == "" {
		return fleet.EnrollResponse{}, fault.New(fault.Invalid, "enrol: the host has no id")
	}
	var resp fleet.EnrollResponse
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		hash := hashSecret(req.EnrollKey)
		var project string
		var uses, expires int64
		err := tx.QueryRowContext(ctx, sqlEnrollKey, hash).Scan(&project, &uses, &expires)
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("read enrolment key: %w", err)
		}
		// One text for all three, so that nobody learns which keys exist.
		if err != nil || uses < 1 || expires != 0 && expires <= nowMS {
			return fault.New(fault.Unauthenticated, "the enrolment key is unknown, spent or expired")
		}
		if _, err := tx.ExecContext(ctx, sqlSpend, hash); err != nil {
			return fmt.Errorf("spend enrolment key: %w", err)
		}
		id, err := enrollAgent(ctx, tx, project, req.Host, nowMS)
		if err != nil {
			return err
		}
		key, err := s.createKey(ctx, tx, auth.Key{ProjectID: project, AgentID: id}, 0, nowMS)
		if err != nil {
			return err
		}
		resp = fleet.EnrollResponse{AgentID: id, ProjectID: project, AccessKey: key.AK, SecretKey: key.Secret}
		return nil
	})
	return resp, err
}

// enrollAgent finds the agent of a host, or makes it. It counts as offline
// until its first sync.
func enrollAgent(ctx context.Context, tx *sql.Tx, project string, h fleet.Host, nowMS int64) (string, error) {
	var id string
	err := tx.QueryRowContext(ctx, sqlAgentHost, project, h.ID).Scan(&id)
	switch {
	case err == nil:
		if _, err := tx.ExecContext(ctx, sqlDropAgentKey, id); err != nil {
			return "", fmt.Errorf("drop agent's keys: %w", err)
		}
		if _, err := tx.ExecContext(ctx, sqlResetAgent, id); err != nil {
			return "", fmt.Errorf("reset agent: %w", err)
		}
	case errors.Is(err, sql.ErrNoRows):
		id = uuid.NewString()
		if _, err := tx.ExecContext(ctx, sqlInsertAgent, id, project, h.ID, nowMS); err != nil {
			return "", fmt.Errorf("create agent: %w", err)
		}
	default:
		return "", fmt.Errorf("find agent: %w", err)
	}
	return id, updateAgent(ctx, tx, id, h, "", "", 0)
}

// updateAgent takes over what an agent says of its host.
func updateAgent(ctx context.Context, tx *sql.Tx, id string, h fleet.Host, analyzers, poll string, seenMS int64) error {
	engines, err := json.Marshal(h.Engines)
	if err != nil {
		return fmt.Errorf("encode engines: %w", err)
	}
	_, err = tx.ExecContext(ctx, sqlUpdateAgent, text(h.Name), text(h.PrivateIP), text(h.PublicIP), text(h.OS), text(h.Arch), text(h.Version),
		text(string(engines)), text(analyzers), seenMS, poll, id)
	if err != nil {
		return fmt.Errorf("update agent: %w", err)
	}
	return nil
}
