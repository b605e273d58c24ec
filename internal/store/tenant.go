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

const (
	// DefaultProject is the name of the project of the first start.
	DefaultProject = "default"
	// defaultEnterprise is the name of the enterprise project 0.
	defaultEnterprise = "default"
	// maxProjectName bounds the name of a project or enterprise project, in
	// bytes.
	maxProjectName = 64
)

var _ auth.Projects = (*Store)(nil)

// First is what Bootstrap made. The secrets are shown this once.
type First struct {
	Project   auth.Project
	Key       auth.Key
	EnrollKey string
}

// An EnterpriseProject is a part of a project with images of its own.
type EnterpriseProject struct {
	// ID is what clients send: "0" for the default one.
	ID   string
	Name string
	// Tenant is the project whose rows are its own.
	Tenant    string
	CreatedAt int64
}

const (
	sqlAnyProject    = `SELECT id FROM project WHERE parent_id = '' ORDER BY created_at, id LIMIT 1`
	sqlInsertProject = `INSERT INTO project (id, name, created_at, parent_id, ep_id) VALUES ($1, $2, $3, $4, $5)`
	sqlProject       = `SELECT id, name, created_at FROM project WHERE id = $1`
	sqlProjects      = `SELECT id, name, created_at FROM project WHERE parent_id = '' ORDER BY created_at, id`
	sqlEnterprise    = `SELECT id FROM project WHERE parent_id = $1 AND ep_id = $2`
	sqlEnterprises   = `SELECT ep_id, name, id, created_at FROM project WHERE parent_id = $1 ORDER BY ep_id`
)

// Bootstrap makes the first project with a user "admin", their key pair, and a
// one-time enrolment key. In a store that has a project it does nothing and
// created is false.
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
		if first.Key, err = s.createAdminKey(ctx, tx, first.Project.ID, now); err != nil {
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
	if err := checkName("project", name); err != nil {
		return p, err
	}
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		p, err = createProject(ctx, tx, name, s.now().UnixMilli())
		return err
	})
	return p, err
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

// Projects lists all projects, the oldest first.
func (s *Store) Projects(ctx context.Context) (out []auth.Project, err error) {
	err = s.inView(ctx, func(tx *sql.Tx) error {
		return each(ctx, tx, sqlProjects, nil, func(r *sql.Rows) error {
			var p auth.Project
			err := r.Scan(&p.ID, &p.Name, &p.CreatedAt)
			out = append(out, p)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list projects: %w", err)
	}
	return out, nil
}

// EnterpriseProjects lists those of a project, the default one first.
func (s *Store) EnterpriseProjects(ctx context.Context, projectID string) (out []EnterpriseProject, err error) {
	p, err := s.Project(ctx, projectID)
	if err != nil {
		return nil, err
	}
	out = []EnterpriseProject{{ID: auth.DefaultEnterpriseProject, Name: defaultEnterprise, Tenant: p.ID, CreatedAt: p.CreatedAt}}
	err = s.inView(ctx, func(tx *sql.Tx) error {
		more, err := enterprises(ctx, tx, projectID)
		out = append(out, more...)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list enterprise projects: %w", err)
	}
	return out, nil
}

// Tenants are the tenants that k may act in with the enterprise project that a
// request names: its id, "0" for the default one, or "all_granted_eps".
// fault.Forbidden says the same of one that k is not granted and of one that
// there is not. The order is always the same.
func (s *Store) Tenants(ctx context.Context, k auth.Key, enterprise string) ([]string, error) {
	forbidden := fault.New(fault.Forbidden, "no permission for enterprise project %q", enterprise)
	switch enterprise {
	case auth.DefaultEnterpriseProject:
		if !k.Granted.Includes(enterprise) {
			return nil, forbidden
		}
		return []string{k.ProjectID}, nil
	case auth.AllEnterpriseProjects:
		all, err := s.EnterpriseProjects(ctx, k.ProjectID)
		var out []string
		for _, e := range all {
			if k.Granted.Includes(e.ID) {
				out = append(out, e.Tenant)
			}
		}
		if err == nil && len(out) == 0 {
			err = forbidden
		}
		return out, err
	}
	var tenant string
	err := s.read.QueryRowContext(ctx, sqlEnterprise, k.ProjectID, text(enterprise)).Scan(&tenant)
	if errors.Is(err, sql.ErrNoRows) || err == nil && !k.Granted.Includes(enterprise) {
		return nil, forbidden
	}
	if err != nil {
		return nil, fmt.Errorf("read enterprise project: %w", err)
	}
	return []string{tenant}, nil
}

func createProject(ctx context.Context, tx *sql.Tx, name string, now int64) (auth.Project, error) {
	p := auth.Project{ID: newTenantID(), Name: name, CreatedAt: now}
	if _, err := tx.ExecContext(ctx, sqlInsertProject, p.ID, p.Name, p.CreatedAt, "", auth.DefaultEnterpriseProject); err != nil {
		return auth.Project{}, fmt.Errorf("create project: %w", err)
	}
	return p, nil
}

func enterprises(ctx context.Context, tx *sql.Tx, projectID string) (out []EnterpriseProject, err error) {
	err = each(ctx, tx, sqlEnterprises, []any{projectID}, func(r *sql.Rows) error {
		var e EnterpriseProject
		err := r.Scan(&e.ID, &e.Name, &e.Tenant, &e.CreatedAt)
		out = append(out, e)
		return err
	})
	return out, err
}

func newTenantID() string { return strings.ReplaceAll(uuid.NewString(), "-", "") }

// checkName bounds names that people give: they stand in tables and logs.
func checkName(what, name string) error {
	if name == "" || len(name) > maxProjectName || name != text(name) {
		return fault.New(fault.Invalid, "name of a %s of %d bytes: want 1 to %d, in UTF-8", what, len(name), maxProjectName)
	}
	for _, c := range name {
		if c < ' ' || c == 0x7f {
			return fault.New(fault.Invalid, "the name of a %s has control characters", what)
		}
	}
	return nil
}
