package query

import (
	"context"
	"net/http"

	"github.com/go-chi/chi/v5"

	"github.com/onceover/onceover/internal/audit"
	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
)

// enterpriseParam names an enterprise project, as in HSS. Every operation has it.
const enterpriseParam = "enterprise_project_id"

// tenants asks where a key may act: Store.Tenants.
type tenants func(ctx context.Context, k auth.Key, enterprise string) ([]string, error)

// begin checks whose request it is and what they may do, and returns the tenants
// that it names, nil if it names none. What is no reading is written down.
func (ask tenants) begin(r *http.Request, need auth.Role) (auth.Key, []string, error) {
	key, ok := auth.FromContext(r.Context())
	if !ok {
		return key, nil, fault.New(fault.Unauthenticated, "the request is not authenticated")
	}
	project, err := pathParam(r, "project_id")
	if err != nil {
		return key, nil, err
	}
	named := r.URL.Query()[enterpriseParam]
	if len(named) > 1 {
		return key, nil, fault.New(fault.Invalid, "%s is given %d times", enterpriseParam, len(named))
	}
	enterprise := ""
	if len(named) == 1 {
		enterprise = named[0]
	}
	note := audit.From(r.Context())
	note.What(r.Method+" "+chi.RouteContext(r.Context()).RoutePattern(), project, enterprise, chi.URLParam(r, "name"))
	if project != key.ProjectID {
		return key, nil, fault.New(fault.Forbidden, "no permission for project %s", project)
	}
	if !key.Role.Allows(need) {
		return key, nil, fault.New(fault.Forbidden, "this needs the role %s, and the key's user is a %s", need, key.Role)
	}
	var out []string
	if enterprise != "" {
		if out, err = ask(r.Context(), key, enterprise); err != nil {
			return key, nil, err
		}
	}
	if need != auth.Viewer {
		err = note.Begin(r.Context())
	}
	return key, out, err
}

// one is the tenant of a question that is about one: the one named, else the
// default one, else the only one that is granted.
func (ask tenants) one(r *http.Request, need auth.Role) (string, error) {
	key, named, err := ask.begin(r, need)
	if err != nil {
		return "", err
	}
	if named == nil {
		if named, err = ask(r.Context(), key, auth.DefaultEnterpriseProject); fault.CodeOf(err) == fault.Forbidden && err != nil {
			named, err = ask(r.Context(), key, auth.AllEnterpriseProjects)
		}
	}
	if err != nil {
		return "", err
	}
	if len(named) != 1 {
		return "", fault.New(fault.Invalid, "this is asked of one enterprise project at a time: name it with %s", enterpriseParam)
	}
	return named[0], nil
}

// found does what asks for a thing that lies in one of the tenants, those that
// are granted if the request names none. fault.NotFound is the answer if none
// has it.
func (ask tenants) found(r *http.Request, do func(tenant string) error) error {
	key, in, err := ask.begin(r, auth.Viewer)
	if err == nil && in == nil {
		in, err = ask(r.Context(), key, auth.AllEnterpriseProjects)
	}
	if err != nil {
		return err
	}
	for _, t := range in {
		if err = do(t); fault.CodeOf(err) != fault.NotFound {
			return err
		}
	}
	return err
}
