package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
)

const (
	akLength        = 20
	skLength        = 40
	enrollKeyLength = 40
)

var _ auth.Keys = (*Store)(nil)

const (
	sqlInsertKey    = `INSERT INTO access_key (ak, project_id, agent_id, sealed, disabled, expires_at, created_at, user_id) VALUES ($1, $2, $3, $4, 0, $5, $6, $7)`
	sqlKey          = `SELECT k.ak, k.project_id, k.agent_id, k.sealed, k.disabled, k.expires_at, ` + userOfKey + ` FROM access_key k LEFT JOIN api_user u ON u.id = k.user_id WHERE k.ak = $1`
	userOfKey       = `COALESCE(u.id, ''), COALESCE(u.name, ''), COALESCE(u.role, ''), COALESCE(u.granted, ''), COALESCE(u.disabled, 0)`
	sqlAnyKey       = `SELECT ak, sealed FROM access_key ORDER BY ak LIMIT 1`
	sqlDisableKey   = `UPDATE access_key SET disabled = $1 WHERE ak = $2`
	sqlInsertEnroll = `INSERT INTO enroll_key (hash, project_id, uses_left, expires_at, created_at) VALUES ($1, $2, $3, $4, $5)`
	sqlInsertToken  = `INSERT INTO token (hash, ak, user_id, project_id, issued_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6)`
	sqlDeleteTokens = `DELETE FROM token WHERE expires_at <= $1`
	sqlToken        = `SELECT t.hash, t.ak, t.user_id, t.project_id, t.issued_at, t.expires_at,
CASE WHEN t.ak = '' OR k.ak IS NOT NULL THEN 1 ELSE 0 END, COALESCE(k.disabled, 0), COALESCE(k.expires_at, 0), ` + userOfKey + `
FROM token t LEFT JOIN access_key k ON k.ak = t.ak JOIN api_user u ON u.id = t.user_id WHERE t.hash = $1 AND t.expires_at > $2`
	sqlUsedKey = `UPDATE access_key SET last_used = $1 WHERE ak = $2 AND last_used < $1`
)

// CheckSeal is an error if the secrets in the database were sealed with another
// key than Config.SealKey.
func (s *Store) CheckSeal(ctx context.Context) error {
	var ak string
	var sealed []byte
	err := s.read.QueryRowContext(ctx, sqlAnyKey).Scan(&ak, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err == nil {
		_, err = s.seal.open(sealed, ak)
	}
	if err != nil {
		return fmt.Errorf("check the seal of the database: %w", err)
	}
	return nil
}

// CreateAccessKey makes a key pair of the user "admin" of a project, and the
// user if there is none. The secret is in the answer and cannot be asked for
// again.
func (s *Store) CreateAccessKey(ctx context.Context, projectID string) (k auth.Key, err error) {
	if _, err := s.Project(ctx, projectID); err != nil {
		return k, err
	}
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		k, err = s.createAdminKey(ctx, tx, projectID, s.now().UnixMilli())
		return err
	})
	return k, err
}

// SetKeyDisabled closes or opens an access key; fault.NotFound if there is
// none.
func (s *Store) SetKeyDisabled(ctx context.Context, ak string, disabled bool) error {
	return s.inTx(ctx, func(tx *sql.Tx) error { return disableKey(ctx, tx, ak, disabled) })
}

// CreateEnrollKey makes a key that enrols up to uses agents into a project, or
// an enterprise project by its tenant, until it expires; a ttl of 0 means never.
func (s *Store) CreateEnrollKey(ctx context.Context, tenant string, uses int, ttl time.Duration) (key string, err error) {
	if uses < 1 {
		return "", fault.New(fault.Invalid, "enrolment key with %d uses: want at least 1", uses)
	}
	if _, err := s.Project(ctx, tenant); err != nil {
		return "", err
	}
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		key, err = createEnrollKey(ctx, tx, tenant, uses, ttl, s.now().UnixMilli())
		return err
	})
	return key, err
}

// Key implements auth.Keys.
func (s *Store) Key(ctx context.Context, ak string) (auth.Key, error) {
	var (
		k                      auth.Key
		sealed                 []byte
		disabled, userDisabled int64
	)
	err := s.read.QueryRowContext(ctx, sqlKey, ak).
		Scan(&k.AK, &k.ProjectID, &k.AgentID, &sealed, &disabled, &k.ExpiresAt, &k.UserID, &k.User, &k.Role, &k.Granted, &userDisabled)
	if errors.Is(err, sql.ErrNoRows) {
		return auth.Key{}, fault.New(fault.NotFound, "there is no such access key")
	}
	if err != nil {
		return auth.Key{}, fmt.Errorf("read access key: %w", err)
	}
	k.Disabled = disabled+userDisabled != 0
	if k.Secret, err = s.seal.open(sealed, k.AK); err != nil {
		return auth.Key{}, fmt.Errorf("read access key: %w", err)
	}
	return k, nil
}

// PutToken implements auth.Keys. It also forgets tokens that have expired.
func (s *Store) PutToken(ctx context.Context, t auth.Token) error {
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, sqlDeleteTokens, t.IssuedAt); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, sqlInsertToken, t.Hash, t.AK, t.UserID, t.ProjectID, t.IssuedAt, t.ExpiresAt)
		return err
	})
	if err != nil {
		return fmt.Errorf("store token: %w", err)
	}
	return nil
}

// Token implements auth.Keys. The key that comes with it has no secret.
func (s *Store) Token(ctx context.Context, hash string, now int64) (auth.Token, auth.Key, error) {
	var (
		t                             auth.Token
		k                             auth.Key
		there, disabled, userDisabled int64
	)
	err := s.read.QueryRowContext(ctx, sqlToken, hash, now).
		Scan(&t.Hash, &t.AK, &t.UserID, &t.ProjectID, &t.IssuedAt, &t.ExpiresAt,
			&there, &disabled, &k.ExpiresAt, &k.UserID, &k.User, &k.Role, &k.Granted, &userDisabled)
	if errors.Is(err, sql.ErrNoRows) || err == nil && there == 0 {
		return auth.Token{}, auth.Key{}, fault.New(fault.NotFound, "there is no such token")
	}
	if err != nil {
		return auth.Token{}, auth.Key{}, fmt.Errorf("read token: %w", err)
	}
	k.AK, k.ProjectID, k.Disabled = t.AK, t.ProjectID, disabled+userDisabled != 0
	return t, k, nil
}

// createKey makes a key pair of a user or an agent.
func (s *Store) createKey(ctx context.Context, tx *sql.Tx, owner auth.Key, expires, now int64) (auth.Key, error) {
	k := owner
	k.AK, k.Secret, k.ExpiresAt = randomText(upperDigits, akLength), randomText(lettersDigit, skLength), expires
	_, err := tx.ExecContext(ctx, sqlInsertKey, k.AK, k.ProjectID, k.AgentID, s.seal.close(k.Secret, k.AK), expires, now, k.UserID)
	if err != nil {
		return auth.Key{}, fmt.Errorf("create access key: %w", err)
	}
	return k, nil
}

func disableKey(ctx context.Context, tx *sql.Tx, ak string, disabled bool) error {
	res, err := tx.ExecContext(ctx, sqlDisableKey, boolInt(disabled), text(ak))
	if err != nil {
		return fmt.Errorf("disable access key: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil {
		return fmt.Errorf("disable access key: %w", err)
	} else if n == 0 {
		return fault.New(fault.NotFound, "there is no access key %s", ak)
	}
	return nil
}

func createEnrollKey(ctx context.Context, tx *sql.Tx, tenant string, uses int, ttl time.Duration, now int64) (string, error) {
	key := randomText(lettersDigit, enrollKeyLength)
	var expires int64
	if ttl > 0 {
		expires = now + ttl.Milliseconds()
	}
	if _, err := tx.ExecContext(ctx, sqlInsertEnroll, hashSecret(key), tenant, uses, expires, now); err != nil {
		return "", fmt.Errorf("create enrolment key: %w", err)
	}
	return key, nil
}
