package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/fleet"
)

const (
	sqlOnlineHolders = `SELECT DISTINCT h.agent_id FROM image i JOIN image_host h ON h.image_id = i.id JOIN agent a ON a.id = h.agent_id
WHERE i.content_id = $1 AND h.non_scan_reason = '' AND a.last_seen >= $2`
	sqlRefuse = `UPDATE scan_job SET state = 'waiting', agent_id = '', lease_until = 0, failure = $1, message = $2, refused_by = $3 WHERE id = $4`
)

// ofThePlace are the failures that say something of one host and nothing of the
// image: another host that holds it may do better.
var ofThePlace = []string{
	fleet.FailureImageGone, fleet.FailureEngineOffline, fleet.FailureNoRoot, fleet.FailureNFS,
}

// passOn puts a job that failed at one agent back into the queue for another
// that is online, holds the image and has not failed at it. It returns those
// that can take it; none means that the job has failed.
func passOn(ctx context.Context, tx *sql.Tx, job jobState, agentID, failure, message string, nowMS int64) ([]string, error) {
	if !slices.Contains(ofThePlace, failure) || job.attempts >= maxAttempts {
		return nil, nil
	}
	holders, err := readStrings(ctx, tx, sqlOnlineHolders, job.content, nowMS-OnlineTime.Milliseconds())
	if err != nil {
		return nil, err
	}
	refused := append(strings.Fields(job.refusedBy), agentID)
	others := slices.DeleteFunc(holders, func(id string) bool { return slices.Contains(refused, id) })
	if len(others) == 0 {
		return nil, nil
	}
	if len(message) > maxMessageBytes {
		message = message[:maxMessageBytes]
	}
	if _, err := tx.ExecContext(ctx, sqlRefuse, failure, message, strings.Join(refused, " ")+" ", job.id); err != nil {
		return nil, fmt.Errorf("pass job on: %w", err)
	}
	if _, err := tx.ExecContext(ctx, sqlContentStatus, StatusWaiting, job.content); err != nil {
		return nil, fmt.Errorf("set scan status: %w", err)
	}
	return others, nil
}
