package query

import (
	"fmt"
	"io"
	"net/http"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
	"github.com/onceover/onceover/internal/wire"
)

const vexPath = Prefix + "{project_id}/vex"

type vexDocument struct {
	// Enterprise is the enterprise project that it belongs to.
	Enterprise string `json:"enterprise_project_id"`
	Name       string `json:"name"`
	Format     string `json:"format"`
	Digest     string `json:"digest"`
	Size       int64  `json:"size"`
	Statements int64  `json:"statements"`
	PutBy      string `json:"put_by"`
	PutAt      int64  `json:"put_at"`
}

type vexDocuments struct {
	Documents []vexDocument `json:"documents"`
}

func newVEXDocument(enterprise string, d store.VEXDocument) vexDocument {
	return vexDocument{enterprise, d.Name, d.Format, d.Digest, d.Size, d.Statements, d.PutBy, d.PutAt}
}

func (a *api) listVEX(r *http.Request, c tenant.Call) (any, error) {
	if err := known(r); err != nil {
		return nil, err
	}
	of, err := a.enterprises(r, c)
	if err != nil {
		return nil, err
	}
	out := vexDocuments{Documents: []vexDocument{}}
	err = tenant.Act(c, func(t string) error {
		list, err := a.store.VEX(r.Context(), t)
		for _, d := range list {
			out.Documents = append(out.Documents, newVEXDocument(of[t], d))
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// enterprises are the ids of a project's enterprise projects by their tenants:
// what a client has to name, since a name of a document may be in use in several.
func (a *api) enterprises(r *http.Request, c tenant.Call) (map[string]string, error) {
	all, err := a.store.EnterpriseProjects(r.Context(), c.Project)
	out := map[string]string{}
	for _, e := range all {
		out[e.Tenant] = e.ID
	}
	return out, err
}

// putVEX keeps the body as a document. The log says who did it and what the
// digest is; the content may say more about the images than a log should.
func (a *api) putVEX(r *http.Request, c tenant.Call) (any, error) {
	project, name, err := oneVEX(r, c)
	if err != nil {
		return nil, err
	}
	of, err := a.enterprises(r, c)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(r.Body, store.MaxVEXBytes+1))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "read the body")
	}
	d, err := a.store.PutVEX(r.Context(), project, name, c.Key.By(), content)
	if err != nil {
		return nil, err
	}
	a.log.InfoContext(r.Context(), "VEX document stored", "project", project, "name", d.Name, "digest", d.Digest, "statements", d.Statements,
		"access_key", c.Key.By(), "request_id", wire.RequestID(r.Context()))
	return newVEXDocument(of[project], d), nil
}

func (a *api) dropVEX(r *http.Request, c tenant.Call) (any, error) {
	project, name, err := oneVEX(r, c)
	if err != nil {
		return nil, err
	}
	digest, err := a.store.DropVEX(r.Context(), project, name)
	if err != nil {
		return nil, err
	}
	a.log.InfoContext(r.Context(), "VEX document deleted", "project", project, "name", name, "digest", digest,
		"access_key", c.Key.By(), "request_id", wire.RequestID(r.Context()))
	return struct{}{}, nil
}

// getVEX answers with the document as it was given. Of several of its name it is
// the one of the first enterprise project.
func (a *api) getVEX(w http.ResponseWriter, r *http.Request) {
	c, err := a.begin(r, auth.Viewer)
	var name string
	if err == nil {
		name, err = vexName(r)
	}
	var content []byte
	if err == nil {
		content, err = tenant.Found(c, func(t string) ([]byte, error) { return a.store.VEXContent(r.Context(), t, name) })
	}
	if err != nil {
		a.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.Header().Set("Content-Length", fmt.Sprint(len(content)))
	_, _ = w.Write(content) // the client has gone, if anything
}

// oneVEX is the document that is written, and its tenant.
func oneVEX(r *http.Request, c tenant.Call) (project, name string, err error) {
	if name, err = vexName(r); err == nil {
		project, err = c.One()
	}
	return project, name, err
}

func vexName(r *http.Request) (string, error) {
	if err := known(r); err != nil {
		return "", err
	}
	return wire.PathParam(r, "name")
}
