package store

import (
	"context"
	"database/sql"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/onceover/onceover/internal/audit"
	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
)

// maxKeys is how many access keys a user may have.
const maxKeys = 10

// An Admin changes projects, users and keys on behalf of someone, and writes
// each change into the audit log in the same transaction. It is for the command
// line, whose user has the database in their hands.
type Admin struct {
	s  *Store
	by string
}

// As is an Admin; by is who asks, for the audit log.
func (s *Store) As(by string) Admin { return Admin{s, by} }

const (
	sqlSetRole       = `UPDATE api_user SET role = $1, granted = $2 WHERE id = $3`
	sqlDisableUser   = `UPDATE api_user SET disabled = $1 WHERE id = $2`
	sqlSetPassword   = `UPDATE api_user SET password = $1 WHERE id = $2`
	sqlDropUser      = `DELETE FROM api_user WHERE id = $1`
	sqlDropUserKeys  = `DELETE FROM access_key WHERE user_id = $1`
	sqlDropUserTemps = `DELETE FROM temporary_key WHERE user_id = $1`
	sqlDropUserToken = `DELETE FROM token WHERE user_id = $1`
	// What was issued for a password goes with it.
	sqlDropLoginTemps = `DELETE FROM temporary_key WHERE user_id = $1 AND parent_ak = ''`
	sqlDropLogins     = `DELETE FROM token WHERE user_id = $1 AND ak = ''`
	sqlCountKeys      = `SELECT COUNT(*) FROM access_key WHERE user_id = $1`
	sqlOwnerOfKey     = `SELECT k.project_id, k.expires_at, ` + userOfKey + ` FROM access_key k LEFT JOIN api_user u ON u.id = k.user_id WHERE k.ak = $1`
	sqlExpireKey      = `UPDATE access_key SET expires_at = $1 WHERE ak = $2`
	sqlDropKey        = `DELETE FROM access_key WHERE ak = $1`
	sqlRename         = `UPDATE project SET name = $1 WHERE id = $2`
)

// CreateProject is Store.CreateProject.
func (a Admin) CreateProject(ctx context.Context, name string) (p auth.Project, err error) {
	if err := checkName("project", name); err != nil {
		return p, err
	}
	err = a.change(ctx, "project create", func(tx *sql.Tx, e *audit.Entry) error {
		p, err = createProject(ctx, tx, name, e.At)
		e.Project = p.ID
		return err
	})
	return p, err
}

// CreateEnterpriseProject makes one; its name is the only one of the project.
func (a Admin) CreateEnterpriseProject(ctx context.Context, projectID, name string) (ep EnterpriseProject, err error) {
	err = a.change(ctx, "enterprise-project create", func(tx *sql.Tx, e *audit.Entry) error {
		e.Project = projectID
		if err := freeName(ctx, tx, projectID, name); err != nil {
			return err
		}
		ep = EnterpriseProject{ID: uuid.NewString(), Name: name, Tenant: newTenantID(), CreatedAt: e.At}
		e.EnterpriseProject = ep.ID
		if _, err := tx.ExecContext(ctx, sqlInsertProject, ep.Tenant, name, e.At, projectID, ep.ID); err != nil {
			return fmt.Errorf("create enterprise project: %w", err)
		}
		return nil
	})
	return ep, err
}

// RenameEnterpriseProject gives ep another name.
func (a Admin) RenameEnterpriseProject(ctx context.Context, projectID string, ep EnterpriseProject, name string) error {
	if ep.ID == auth.DefaultEnterpriseProject {
		return fault.New(fault.Invalid, "the default enterprise project keeps its name")
	}
	return a.change(ctx, "enterprise-project rename", func(tx *sql.Tx, e *audit.Entry) error {
		e.Project, e.EnterpriseProject = projectID, ep.ID
		if err := freeName(ctx, tx, projectID, name); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, sqlRename, name, ep.Tenant)
		return err
	})
}

// CreateUser makes a user; the password may be empty for none.
func (a Admin) CreateUser(ctx context.Context, u User, password string) (User, error) {
	if err := checkUserName(u.Name); err != nil {
		return User{}, err
	}
	hash, err := hashed(u.Name, password)
	if err != nil {
		return User{}, err
	}
	err = a.change(ctx, "user create", func(tx *sql.Tx, e *audit.Entry) error {
		e.Project, e.Objects = u.ProjectID, []string{u.Name, string(u.Role), string(u.Granted)}
		if err := checkRights(ctx, tx, u); err != nil {
			return err
		}
		switch _, err := userOf(ctx, tx, u.ProjectID, u.Name); {
		case err == nil:
			return fault.New(fault.Conflict, "there is a user %s already", u.Name)
		case fault.CodeOf(err) != fault.NotFound:
			return err
		}
		u, err = createUser(ctx, tx, u, hash, e.At)
		return err
	})
	return u, err
}

// SetRole changes what a user may do, and where.
func (a Admin) SetRole(ctx context.Context, projectID, name string, role auth.Role, granted auth.Grants) error {
	return a.user(ctx, "user set-role", projectID, name, func(tx *sql.Tx, u User, e *audit.Entry) error {
		u.Role = role
		if granted != "" {
			u.Granted = granted
		}
		e.Objects = append(e.Objects, string(u.Role), string(u.Granted))
		if err := checkRights(ctx, tx, u); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, sqlSetRole, u.Role, u.Granted, u.ID)
		return err
	})
}

// SetUserDisabled closes or opens all that a user has.
func (a Admin) SetUserDisabled(ctx context.Context, projectID, name string, disabled bool) error {
	what := "user enable"
	if disabled {
		what = "user disable"
	}
	return a.user(ctx, what, projectID, name, func(tx *sql.Tx, u User, _ *audit.Entry) error {
		_, err := tx.ExecContext(ctx, sqlDisableUser, boolInt(disabled), u.ID)
		return err
	})
}

// SetPassword gives a user a password, or takes it away if it is empty. What
// was issued for the former one ends.
func (a Admin) SetPassword(ctx context.Context, projectID, name, password string) error {
	hash, err := hashed(name, password)
	if err != nil {
		return err
	}
	return a.user(ctx, "user set-password", projectID, name, func(tx *sql.Tx, u User, _ *audit.Entry) error {
		if _, err := tx.ExecContext(ctx, sqlSetPassword, hash, u.ID); err != nil {
			return err
		}
		return execAll(ctx, tx, u.ID, sqlDropLoginTemps, sqlDropLogins)
	})
}

// DeleteUser takes a user away, with all keys and tokens.
func (a Admin) DeleteUser(ctx context.Context, projectID, name string) error {
	return a.user(ctx, "user delete", projectID, name, func(tx *sql.Tx, u User, _ *audit.Entry) error {
		return execAll(ctx, tx, u.ID, sqlDropUserTemps, sqlDropUserToken, sqlDropUserKeys, sqlDropUser)
	})
}

// CreateKey makes a key pair of a user that is good for ttl, 0 for ever. The
// secret is in the answer and cannot be asked for again.
func (a Admin) CreateKey(ctx context.Context, projectID, name string, ttl time.Duration) (k auth.Key, err error) {
	err = a.user(ctx, "key create", projectID, name, func(tx *sql.Tx, u User, e *audit.Entry) error {
		k, err = a.s.oneMoreKey(ctx, tx, u.key(), ttl, e)
		return err
	})
	return k, err
}

// RotateKey makes another key pair of the user whose key ak is, good for ttl, and
// ends the old one after overlap, if it does not end before.
func (a Admin) RotateKey(ctx context.Context, ak string, overlap, ttl time.Duration) (k auth.Key, err error) {
	err = a.key(ctx, "key rotate", ak, func(tx *sql.Tx, owner auth.Key, e *audit.Entry) error {
		if ends := e.At + overlap.Milliseconds(); owner.ExpiresAt == 0 || ends < owner.ExpiresAt {
			if _, err := tx.ExecContext(ctx, sqlExpireKey, ends, ak); err != nil {
				return err
			}
		}
		k, err = a.s.oneMoreKey(ctx, tx, owner, ttl, e)
		return err
	})
	return k, err
}

// SetKeyDisabled closes or opens a key of a user.
func (a Admin) SetKeyDisabled(ctx context.Context, ak string, disabled bool) error {
	what := "key enable"
	if disabled {
		what = "key disable"
	}
	return a.key(ctx, what, ak, func(tx *sql.Tx, _ auth.Key, _ *audit.Entry) error {
		return disableKey(ctx, tx, ak, disabled)
	})
}

// DeleteKey takes a key of a user away; what was issued for it ends.
func (a Admin) DeleteKey(ctx context.Context, ak string) error {
	return a.key(ctx, "key delete", ak, func(tx *sql.Tx, _ auth.Key, _ *audit.Entry) error {
		return execAll(ctx, tx, ak, sqlDropKey)
	})
}

// CreateEnrollKey is Store.CreateEnrollKey.
func (a Admin) CreateEnrollKey(ctx context.Context, projectID string, ep EnterpriseProject, uses int, ttl time.Duration) (key string, err error) {
	err = a.change(ctx, "enroll-key", func(tx *sql.Tx, e *audit.Entry) error {
		e.Project, e.EnterpriseProject = projectID, ep.ID
		key, err = createEnrollKey(ctx, tx, ep.Tenant, uses, ttl, e.At)
		return err
	})
	return key, err
}

// change runs f in a transaction together with its entry in the audit log.
func (a Admin) change(ctx context.Context, what string, f func(*sql.Tx, *audit.Entry) error) error {
	return a.s.inTx(ctx, func(tx *sql.Tx) error {
		e := audit.Entry{At: a.s.now().UnixMilli(), User: a.by, Client: "(command line)", Operation: what, Status: 200}
		if err := f(tx, &e); err != nil {
			return err
		}
		_, err := putAudit(ctx, tx, []audit.Entry{e})
		return err
	})
}

func (a Admin) user(ctx context.Context, what, projectID, name string, f func(*sql.Tx, User, *audit.Entry) error) error {
	return a.change(ctx, what, func(tx *sql.Tx, e *audit.Entry) error {
		e.Project, e.Objects = projectID, []string{name}
		u, err := userOf(ctx, tx, projectID, name)
		if err != nil {
			return err
		}
		return f(tx, u, e)
	})
}

func (a Admin) key(ctx context.Context, what, ak string, f func(*sql.Tx, auth.Key, *audit.Entry) error) error {
	return a.change(ctx, what, func(tx *sql.Tx, e *audit.Entry) error {
		var owner auth.Key
		var disabled int64
		found := false
		err := each(ctx, tx, sqlOwnerOfKey, []any{text(ak)}, func(r *sql.Rows) error {
			found = true
			return r.Scan(&owner.ProjectID, &owner.ExpiresAt, &owner.UserID, &owner.User, &owner.Role, &owner.Granted, &disabled)
		})
		if err != nil {
			return fmt.Errorf("read access key: %w", err)
		}
		if !found || owner.UserID == "" {
			return fault.New(fault.NotFound, "no user has an access key %q", ak)
		}
		e.Project, e.Objects = owner.ProjectID, []string{owner.User, ak}
		return f(tx, owner, e)
	})
}

// oneMoreKey makes a key of a user unless they have too many.
func (s *Store) oneMoreKey(ctx context.Context, tx *sql.Tx, owner auth.Key, ttl time.Duration, e *audit.Entry) (auth.Key, error) {
	var n int64
	if err := tx.QueryRowContext(ctx, sqlCountKeys, owner.UserID).Scan(&n); err != nil {
		return auth.Key{}, fmt.Errorf("count access keys: %w", err)
	}
	if n >= maxKeys {
		return auth.Key{}, fault.New(fault.Conflict, "user %s has %d access keys: delete one", owner.User, n)
	}
	var expires int64
	if ttl > 0 {
		expires = e.At + ttl.Milliseconds()
	}
	k, err := s.createKey(ctx, tx, owner, expires, e.At)
	e.Objects = append(e.Objects, k.AK)
	return k, err
}

// checkRights refuses roles and enterprise projects that there are not.
func checkRights(ctx context.Context, tx *sql.Tx, u User) error {
	if !u.Role.Valid() {
		return fault.New(fault.Invalid, "role %q: want viewer, operator or admin", u.Role)
	}
	if u.Granted == auth.GrantAll {
		return nil
	}
	all, err := enterprises(ctx, tx, u.ProjectID)
	if err != nil {
		return fmt.Errorf("read enterprise projects: %w", err)
	}
	known := map[string]bool{auth.DefaultEnterpriseProject: true}
	for _, ep := range all {
		known[ep.ID] = true
	}
	for id := range strings.SplitSeq(string(u.Granted), ",") {
		if !known[id] {
			return fault.New(fault.Invalid, "there is no enterprise project %q in the project", id)
		}
	}
	return nil
}

// freeName refuses a name that an enterprise project has.
func freeName(ctx context.Context, tx *sql.Tx, projectID, name string) error {
	if err := checkName("enterprise project", name); err != nil {
		return err
	}
	all, err := enterprises(ctx, tx, projectID)
	if err != nil {
		return fmt.Errorf("read enterprise projects: %w", err)
	}
	for _, ep := range append(all, EnterpriseProject{Name: defaultEnterprise}) {
		if ep.Name == name {
			return fault.New(fault.Conflict, "there is an enterprise project %q already", name)
		}
	}
	return nil
}

func hashed(name, password string) (string, error) {
	if password == "" {
		return "", nil
	}
	return auth.HashPassword(name, password)
}

func execAll(ctx context.Context, tx *sql.Tx, arg string, statements ...string) error {
	for _, q := range statements {
		if _, err := tx.ExecContext(ctx, q, arg); err != nil {
			return err
		}
	}
	return nil
}
