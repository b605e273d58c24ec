package tenant

import (
	"context"
	"net/http"

	"github.com/onceover/onceover/internal/audit"
	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/wire"
)

// Param is the parameter of the query that names an enterprise project.
const Param = "enterprise_project_id"

// placeholder is what a client with a bare endpoint and no project sends: the
// path as it is written in the description.
const placeholder = "{project_id}"

// Reach is where a call acts that names no enterprise project.
type Reach int

const (
	// Default is the default enterprise project.
	Default Reach = iota
	// All are those that the key is granted.
	All
	// Only is the default one, or the only one that is granted.
	Only
)

// An Operation is what Begin has to know of what is asked.
type Operation struct {
	// Name stands in the audit log.
	Name  string
	Needs auth.Role
	Reach Reach
	// Objects are ids in its path, for the audit log.
	Objects []string
}

// Lookup returns the tenants that a key may act in with the enterprise project
// that a request names. fault.Forbidden says that there is none: Store.Tenants.
type Lookup func(ctx context.Context, k auth.Key, enterprise string) ([]string, error)

// A Call is whose request it is and where it acts.
type Call struct {
	Key     auth.Key
	Project string
	// Enterprise is the enterprise project that the request names, "" for none.
	Enterprise string
	// Tenants are those that it acts in, one or more, in an order that stays
	// the same.
	Tenants []string
	// Page of the list that is asked for.
	Page store.Page
	// IP is the address that the request came from.
	IP string
}

// Begin checks whose request it is and what they may do, and finds where it acts.
// The request has passed auth.Authenticator and has the project in its path.
func Begin(r *http.Request, tenants Lookup, op Operation) (Call, error) {
	key, ok := auth.FromContext(r.Context())
	if !ok {
		return Call{}, fault.New(fault.Unauthenticated, "Incorrect IAM authentication information: none given")
	}
	project, err := wire.PathParam(r, "project_id")
	if err != nil {
		return Call{}, err
	}
	if project == placeholder {
		return Call{}, fault.New(fault.Invalid, "the client sends no project id: configure one")
	}
	named := r.URL.Query()[Param]
	c := Call{Key: key, Project: project, IP: wire.ClientIP(r)}
	if len(named) > 0 {
		c.Enterprise = named[0]
	}
	audit.From(r.Context()).What(op.Name, project, c.Enterprise, op.Objects...)
	if project != key.ProjectID {
		return Call{}, fault.New(fault.Forbidden, "no permission for project %s", project)
	}
	if !key.Role.Allows(op.Needs) {
		return Call{}, fault.New(fault.Forbidden, "%s needs the role %s, and the key's user is a %s", op.Name, op.Needs, key.Role)
	}
	if len(named) > 1 {
		return Call{}, fault.New(fault.Invalid, "%s is given %d times", Param, len(named))
	}
	c.Tenants, err = reached(r.Context(), tenants, key, c.Enterprise, op.Reach)
	return c, err
}

// reached are the tenants of an enterprise project, or those without one.
func reached(ctx context.Context, tenants Lookup, key auth.Key, enterprise string, reach Reach) ([]string, error) {
	switch {
	case enterprise != "":
		return tenants(ctx, key, enterprise)
	case reach == All:
		return tenants(ctx, key, auth.AllEnterpriseProjects)
	}
	out, err := tenants(ctx, key, auth.DefaultEnterpriseProject)
	if reach != Only || fault.CodeOf(err) != fault.Forbidden {
		return out, err
	}
	if all, aerr := tenants(ctx, key, auth.AllEnterpriseProjects); aerr != nil || len(all) == 1 {
		return all, aerr
	}
	return nil, err
}

// Actor is who makes the call, for the image log.
func (c Call) Actor() store.Actor { return store.Actor{Name: c.Key.By(), IP: c.IP} }

// One is the tenant of a call that acts in one.
func (c Call) One() (string, error) {
	if len(c.Tenants) != 1 {
		return "", fault.New(fault.Invalid, "this is asked of one enterprise project at a time: name it with %s", Param)
	}
	return c.Tenants[0], nil
}
