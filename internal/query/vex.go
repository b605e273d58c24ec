package query

import (
	"fmt"
	"io"
	"net/http"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/wire"
)

const vexPath = Prefix + "{project_id}/vex"

type vexDocument struct {
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

func (a *api) listVEX(r *http.Request, project string) (any, error) {
	if err := known(r); err != nil {
		return nil, err
	}
	list, err := a.store.VEX(r.Context(), project)
	if err != nil {
		return nil, err
	}
	out := vexDocuments{Documents: []vexDocument{}}
	for _, d := range list {
		out.Documents = append(out.Documents, vexDocument(d))
	}
	return out, nil
}

// putVEX keeps the body as a document. The log says who did it and what the
// digest is; the content may say more about the images than a log should.
func (a *api) putVEX(r *http.Request, project string) (any, error) {
	name, by, err := vexParams(r)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(r.Body, store.MaxVEXBytes+1))
	if err != nil {
		return nil, fault.Wrap(fault.Invalid, err, "read the body")
	}
	d, err := a.store.PutVEX(r.Context(), project, name, by, content)
	if err != nil {
		return nil, err
	}
	a.log.InfoContext(r.Context(), "VEX document stored", "project", project, "name", d.Name, "digest", d.Digest, "statements", d.Statements,
		"access_key", by, "request_id", wire.RequestID(r.Context()))
	return vexDocument(d), nil
}

func (a *api) dropVEX(r *http.Request, project string) (any, error) {
	name, by, err := vexParams(r)
	if err != nil {
		return nil, err
	}
	digest, err := a.store.DropVEX(r.Context(), project, name)
	if err != nil {
		return nil, err
	}
	a.log.InfoContext(r.Context(), "VEX document deleted", "project", project, "name", name, "digest", digest,
		"access_key", by, "request_id", wire.RequestID(r.Context()))
	return struct{}{}, nil
}

// getVEX answers with the document as it was given.
func (a *api) getVEX(w http.ResponseWriter, r *http.Request) {
	project, err := a.tenants.one(r, auth.Viewer)
	var name string
	if err == nil {
		name, _, err = vexParams(r)
	}
	var content []byte
	if err == nil {
		content, err = a.store.VEXContent(r.Context(), project, name)
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

// vexParams are the name of the document and the key of who asks.
func vexParams(r *http.Request) (name, by string, err error) {
	if err := known(r); err != nil {
		return "", "", err
	}
	key, _ := auth.FromContext(r.Context())
	name, err = pathParam(r, "name")
	return name, key.By(), err
}
