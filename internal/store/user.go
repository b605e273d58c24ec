package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"

	"github.com/google/uuid"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
)

var _ auth.Accounts = (*Store)(nil)

// AdminUser is the name of the user that Bootstrap makes.
const AdminUser = "admin"

// A User is someone who may do something in a project.
type User struct {
	ID, ProjectID, Name string
	Role                auth.Role
	Granted             auth.Grants
	// Password says that there is one.
	Password  bool
	Disabled  bool
	CreatedAt int64
}

// A UserKey is an access key of a user, without its secret.
type UserKey struct {
	AK, User, UserID string
	Disabled         bool
	// In Unix milliseconds; ExpiresAt 0 for never, LastUsed 0 for not yet.
	ExpiresAt, CreatedAt, LastUsed int64
}

const (
	sqlInsertUser = `INSERT INTO api_user (id, project_id, name, role, granted, password, disabled, created_at) VALUES ($1, $2, $3, $4, $5, $6, 0, $7)`
	sqlUser       = sqlUserColumns + ` WHERE u.project_id = $1 AND u.name = $2`
	sqlUsers      = sqlUserColumns + ` WHERE u.project_id = $1 ORDER BY u.name`

	sqlUserColumns = `SELECT u.id, u.project_id, u.name, u.role, u.granted, u.password, u.disabled, u.created_at FROM api_user u`
	sqlUserKeys    = `SELECT k.ak, u.name, u.id, k.disabled, k.expires_at, k.created_at, k.last_used FROM api_user u JOIN access_key k ON k.user_id = u.id WHERE u.project_id = $1 ORDER BY u.name, k.created_at, k.ak`
	// Whoever has no password cannot log in, whatever their name.
	sqlLogin = `SELECT u.id, u.project_id, u.name, u.role, u.granted, u.password, u.disabled FROM api_user u JOIN project p ON p.id = u.project_id
WHERE u.name = $1 AND u.password <> '' AND ($2 = '' OR p.id = $2 OR p.name = $2) LIMIT 2`
	sqlInsertTemporary = `INSERT INTO temporary_key (ak, parent_ak, user_id, sealed, token_hash, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)`
	sqlDropTemporary   = `DELETE FROM temporary_key WHERE expires_at <= $1`
	sqlTemporary       = `SELECT t.ak, t.parent_ak, t.sealed, t.token_hash, t.expires_at, u.project_id,
CASE WHEN t.parent_ak = '' OR k.ak IS NOT NULL THEN 1 ELSE 0 END, COALESCE(k.disabled, 0), COALESCE(k.expires_at, 0), ` + userOfKey + `
FROM temporary_key t JOIN api_user u ON u.id = t.user_id LEFT JOIN access_key k ON k.ak = t.parent_ak WHERE t.ak = $1`
)

// Users lists the users of a project by name.
func (s *Store) Users(ctx context.Context, projectID string) (out []User, err error) {
	err = s.inView(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, sqlUsers, []any{projectID}, func(r *sql.Rows) error {
			u, err := scanUser(r)
			out = append(out, u)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	return out, nil
}

// UserKeys lists the access keys of the users of a project.
func (s *Store) UserKeys(ctx context.Context, projectID string) (out []UserKey, err error) {
	err = s.inView(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, sqlUserKeys, []any{projectID}, func(r *sql.Rows) error {
			var k UserKey
			var disabled int64
			err := r.Scan(&k.AK, &k.User, &k.UserID, &disabled, &k.ExpiresAt, &k.CreatedAt, &k.LastUsed)
			k.Disabled = disabled != 0
			out = append(out, k)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list access keys: %w", err)
	}
	return out, nil
}

// Login implements auth.Accounts.
func (s *Store) Login(ctx context.Context, name, project string) (k auth.Key, hash string, err error) {
	found := 0
	err = s.inView(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, sqlLogin, []any{text(name), text(project)}, func(r *sql.Rows) error {
			var disabled int64
			err := r.Scan(&k.UserID, &k.ProjectID, &k.User, &k.Role, &k.Granted, &hash, &disabled)
			k.Disabled = disabled != 0
			found++
			return err
		})
	})
	if err != nil {
		return auth.Key{}, "", fmt.Errorf("read user: %w", err)
	}
	if found != 1 {
		return auth.Key{}, "", fault.New(fault.NotFound, "there is no such user, or more than one")
	}
	return k, hash, nil
}

// TemporaryKey implements auth.Accounts.
func (s *Store) TemporaryKey(ctx context.Context, ak string) (auth.Key, error) {
	var (
		k                             auth.Key
		sealed                        []byte
		there, disabled, userDisabled int64
		parentExpires                 int64
	)
	err := s.read.QueryRowContext(ctx, sqlTemporary, ak).Scan(&k.AK, &k.ParentAK, &sealed, &k.TokenHash, &k.ExpiresAt, &k.ProjectID,
		&there, &disabled, &parentExpires, &k.UserID, &k.User, &k.Role, &k.Granted, &userDisabled)
	if errors.Is(err, sql.ErrNoRows) || err == nil && there == 0 {
		return auth.Key{}, fault.New(fault.NotFound, "there is no such temporary access key")
	}
	if err != nil {
		return auth.Key{}, fmt.Errorf("read temporary access key: %w", err)
	}
	k.Disabled = disabled+userDisabled != 0
	if parentExpires != 0 {
		k.ExpiresAt = min(k.ExpiresAt, parentExpires)
	}
	if k.Secret, err = s.seal.open(sealed, k.AK); err != nil {
		return auth.Key{}, fmt.Errorf("read temporary access key: %w", err)
	}
	return k, nil
}

// PutTemporaryKey implements auth.Accounts. It also forgets those that have
// expired.
func (s *Store) PutTemporaryKey(ctx context.Context, k auth.Key, nowMS int64) error {
	err := s.inTx(ctx, func(tx *sql.Tx) error {
		if _, err := tx.ExecContext(ctx, sqlDropTemporary, nowMS); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, sqlInsertTemporary, k.AK, k.ParentAK, k.UserID, s.seal.close(k.Secret, k.AK), k.TokenHash, nowMS, k.ExpiresAt)
		return err
	})
	if err != nil {
		return fmt.Errorf("store temporary access key: %w", err)
	}
	return nil
}

// createAdminKey makes a key pair of the user admin, and that user if need be.
func (s *Store) createAdminKey(ctx context.Context, tx *sql.Tx, projectID string, now int64) (auth.Key, error) {
	u, err := userOf(ctx, tx, projectID, AdminUser)
	if fault.CodeOf(err) == fault.NotFound && err != nil {
		u = User{ProjectID: projectID, Name: AdminUser, Role: auth.Admin, Granted: auth.GrantAll}
		u, err = createUser(ctx, tx, u, "", now)
	}
	if err != nil {
		return auth.Key{}, err
	}
	return s.createKey(ctx, tx, u.key(), 0, now)
}

// key is what a key of the user has of it.
func (u User) key() auth.Key {
	return auth.Key{ProjectID: u.ProjectID, UserID: u.ID, User: u.Name, Role: u.Role, Granted: u.Granted}
}

func createUser(ctx context.Context, tx *sql.Tx, u User, hash string, now int64) (User, error) {
	u.ID, u.Password, u.CreatedAt = uuid.NewString(), hash != "", now
	if _, err := tx.ExecContext(ctx, sqlInsertUser, u.ID, u.ProjectID, u.Name, u.Role, u.Granted, hash, now); err != nil {
		return User{}, fmt.Errorf("create user: %w", err)
	}
	return u, nil
}

func userOf(ctx context.Context, tx *sql.Tx, projectID, name string) (u User, err error) {
	found := false
	err = each(ctx, tx, sqlUser, []any{projectID, text(name)}, func(r *sql.Rows) error {
		u, err = scanUser(r)
		found = true
		return err
	})
	if err == nil && !found {
		err = fault.New(fault.NotFound, "there is no user %s in the project", name)
	}
	return u, err
}

func scanUser(r *sql.Rows) (User, error) {
	var u User
	var hash string
	var disabled int64
	err := r.Scan(&u.ID, &u.ProjectID, &u.Name, &u.Role, &u.Granted, &hash, &disabled, &u.CreatedAt)
	u.Password, u.Disabled = hash != "", disabled != 0
	return u, err
}

// checkUserName keeps names of users apart from access keys, and out of the way
// of who reads a table.
func checkUserName(name string) error {
	if name == "" || len(name) > maxProjectName || strings.Trim(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._@-") != "" {
		return fault.New(fault.Invalid, "user %q: want up to %d letters, digits and . _ @ -", name, maxProjectName)
	}
	if len(name) == akLength && strings.Trim(name, upperDigits) == "" {
		return fault.New(fault.Invalid, "user %q: that has the form of an access key", name)
	}
	return nil
}
