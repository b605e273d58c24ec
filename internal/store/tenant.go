package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
)

const (
	akLength        = 20
	skLength        = 40
	enrollKeyLength = 40
	// DefaultProject is the name of the project of the first start.
	DefaultProject = "default"
	// maxProjectName bounds the name of a project, in bytes.
	maxProjectName = 64
)

var (
	_ auth.Keys     = (*Store)(nil)
	_ auth.Projects = (*Store)(nil)
)

// First is what Bootstrap made. The secrets are shown this once.
type First struct {
	Project   auth.Project
	Key       auth.Key
	EnrollKey string
}

const (
	sqlAnyProject    = `SELECT id FROM project ORDER BY created_at, id LIMIT 1`
	sqlInsertProject = `INSERT INTO project (id, name, created_at) VALUES ($1, $2, $3)`
	sqlProject       = `SELECT id, name, created_at FROM project WHERE id = $1`
	sqlInsertKey     = `INSERT INTO access_key (ak, project_id, agent_id, sealed, disabled, expires_at, created_at) VALUES ($1, $2, $3, $4, 0, 0, $5)`
	sqlKey           = `SELECT ak, project_id, agent_id, sealed, disabled, expires_at FROM access_key WHERE ak = $1`
	sqlAnyKey        = `SELECT ak, sealed FROM access_key ORDER BY ak LIMIT 1`
	sqlDisableKey    = `UPDATE access_key SET disabled = $1 WHERE ak = $2`
	sqlInsertEnroll  = `INSERT INTO enroll_key (hash, project_id, uses_left, expires_at, created_at) VALUES ($1, $2, $3, $4, $5)`
	sqlInsertToken   = `INSERT INTO token (hash, ak, project_id, issued_at, expires_at) VALUES ($1, $2, $3, $4, $5)`
	sqlDeleteTokens  = `DELETE FROM token WHERE expires_at <= $1`
	sqlToken         = `SELECT hash, ak, project_id, issued_at, expires_at FROM token WHERE hash = $1 AND expires_at > $2`
)

// Bootstrap makes the first project with a key pair and a one-time enrolment
// key. In a store that has a project it does nothing and created is false.
func (s *Store) Bootstrap(ctx context.Context) (created bool, first First, err error) {
	now := s.now().UnixMilli()
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		var id string
		switch err := tx.QueryRowContext(ctx, sqlAnyProject).Scan(&id); {
		case err == nil:
			return nil
		case !errors.Is(err, sql.ErrNoRows):
			return err
		}
		if first.Project, err = createProject(ctx, tx, DefaultProject, now); err != nil {
			return err
		}
		if first.Key, err = s.createKey(ctx, tx, first.Project.ID, "", now); err != nil {
			return err
		}
		first.EnrollKey, err = createEnrollKey(ctx, tx, first.Project.ID, 1, 0, now)
		created = err == nil
		return err
	})
	if err != nil {
		return false, First{}, fmt.Errorf("bootstrap store: %w", err)
	}
	return created, first, nil
}

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

// FirstProject is the oldest project; fault.NotFound before Bootstrap.
func (s *Store) FirstProject(ctx context.Context) (auth.Project, error) {
	var id string
	if err := s.read.QueryRowContext(ctx, sqlAnyProject).Scan(&id); err != nil {
		if errors.Is(err, sql.ErrNoRows) {
			return auth.Project{}, fault.New(fault.NotFound, "there is no project")
		}
		return auth.Project{}, fmt.Errorf("read project: %w", err)
	}
	return s.Project(ctx, id)
}

// CreateProject makes a project. Its id is 32 hexadecimal digits.
func (s *Store) CreateProject(ctx context.Context, name string) (p auth.Project, err error) {
	if name == "" || len(name) > maxProjectName {
		return p, fault.New(fault.Invalid, "project name of %d bytes: want 1 to %d", len(name), maxProjectName)
	}
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		p, err = createProject(ctx, tx, name, s.now().UnixMilli())
		return err
	})
	return p, err
}

// CreateAccessKey makes a key pair for the API of a project. The secret is in
// the answer and cannot be asked for again.
func (s *Store) CreateAccessKey(ctx context.Context, projectID string) (k auth.Key, err error) {
	if _, err := s.Project(ctx, projectID); err != nil {
		return k, err
	}
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		k, err = s.createKey(ctx, tx, projectID, "", s.now().UnixMilli())
		return err
	})
	return k, err
}

// SetKeyDisabled closes or opens an access key; fault.NotFound if there is
// none.
func (s *Store) SetKeyDisabled(ctx context.Context, ak string, disabled bool) error {
	res, err := s.write.ExecContext(ctx, sqlDisableKey, boolInt(disabled), ak)
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

// CreateEnrollKey makes a key that enrols up to uses agents into a project
// until it expires; a ttl of 0 means never.
func (s *Store) CreateEnrollKey(ctx context.Context, projectID string, uses int, ttl time.Duration) (key string, err error) {
	if uses < 1 {
		return "", fault.New(fault.Invalid, "enrolment key with %d uses: want at least 1", uses)
	}
	if _, err := s.Project(ctx, projectID); err != nil {
		return "", err
	}
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		key, err = createEnrollKey(ctx, tx, projectID, uses, ttl, s.now().UnixMilli())
		return err
	})
	return key, err
}

// Project implements auth.Projects.
func (s *Store) Project(ctx context.Context, id string) (auth.Project, error) {
	var p auth.Project
	err := s.read.QueryRowContext(ctx, sqlProject, id).Scan(&p.ID, &p.Name, &p.CreatedAt)
	if errors.Is(err, sql.ErrNoRows) {
		return auth.Project{}, fault.New(fault.NotFound, "there is no project %s", id)
	}
	if err != nil {
		return auth.Project{}, fmt.Errorf("read project: %w", err)
	}
	return p, nil
}

// Key implements auth.Keys.
func (s *Store) Key(ctx context.Context, ak string) (auth.Key, error) {
	var (
		k        auth.Key
		sealed   []byte
		disabled int64
	)
	err := s.read.QueryRowContext(ctx, sqlKey, ak).
		Scan(&k.AK, &k.ProjectID, &k.AgentID, &sealed, &disabled, &k.ExpiresAt)
	if errors.Is(err, sql.ErrNoRows) {
		return auth.Key{}, fault.New(fault.NotFound, "there is no such access key")
	}
	if err != nil {
		return auth.Key{}, fmt.Errorf("read access key: %w", err)
	}
	k.Disabled = disabled != 0
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
		_, err := tx.ExecContext(ctx, sqlInsertToken, t.Hash, t.AK, t.ProjectID, t.IssuedAt, t.ExpiresAt)
		return err
	})
	if err != nil {
		return fmt.Errorf("store token: %w", err)
	}
	return nil
}

// Token implements auth.Keys.
func (s *Store) Token(ctx context.Context, hash string, now int64) (auth.Token, error) {
	var t auth.Token
	err := s.read.QueryRowContext(ctx, sqlToken, hash, now).
		Scan(&t.Hash, &t.AK, &t.ProjectID, &t.IssuedAt, &t.ExpiresAt)
	if errors.Is(err, sql.ErrNoRows) {
		return auth.Token{}, fault.New(fault.NotFound, "there is no such token")
	}
	if err != nil {
		return auth.Token{}, fmt.Errorf("read token: %w", err)
	}
	return t, nil
}

func createProject(ctx context.Context, tx *sql.Tx, name string, now int64) (auth.Project, error) {
	p := auth.Project{ID: strings.ReplaceAll(uuid.NewString(), "-", ""), Name: name, CreatedAt: now}
	if _, err := tx.ExecContext(ctx, sqlInsertProject, p.ID, p.Name, p.CreatedAt); err != nil {
		return auth.Project{}, fmt.Errorf("create project: %w", err)
	}
	return p, nil
}

func (s *Store) createKey(ctx context.Context, tx *sql.Tx, projectID, agentID string, now int64) (auth.Key, error) {
	k := auth.Key{
		AK:        randomText(upperDigits, akLength),
		Secret:    randomText(lettersDigit, skLength),
		ProjectID: projectID,
		AgentID:   agentID,
	}
	_, err := tx.ExecContext(ctx, sqlInsertKey, k.AK, projectID, agentID, s.seal.close(k.Secret, k.AK), now)
	if err != nil {
		return auth.Key{}, fmt.Errorf("create access key: %w", err)
	}
	return k, nil
}

func createEnrollKey(ctx context.Context, tx *sql.Tx, projectID string, uses int, ttl time.Duration, now int64) (string, error) {
	key := randomText(lettersDigit, enrollKeyLength)
	var expires int64
	if ttl > 0 {
		expires = now + ttl.Milliseconds()
	}
	if _, err := tx.ExecContext(ctx, sqlInsertEnroll, hashSecret(key), projectID, uses, expires, now); err != nil {
		return "", fmt.Errorf("create enrolment key: %w", err)
	}
	return key, nil
}
