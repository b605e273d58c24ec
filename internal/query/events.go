package query

import (
	"cmp"
	"net/http"
	"slices"

	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
)

// events is the answer to what has changed.
type events struct {
	Events []event `json:"events"`
	// Before goes on from the last one; missing at the end.
	Before int64 `json:"before,omitempty"`
}

type event struct {
	ID         int64    `json:"id"`
	Time       int64    `json:"time"`
	Generation string   `json:"generation"`
	Kind       string   `json:"kind"`
	Advisory   string   `json:"advisory"`
	CVEs       []string `json:"cves"`
	Type       string   `json:"package_type"`
	Name       string   `json:"package_name"`
	Version    string   `json:"package_version"`
	Was        string   `json:"severity_before,omitempty"`
	IsNow      string   `json:"severity,omitempty"`
	ImageNum   int64    `json:"image_num"`
}

func (a *api) events(r *http.Request, c tenant.Call) (any, error) {
	if err := known(r, "vulnerability", "before", "limit"); err != nil {
		return nil, err
	}
	before, err := number(r, "before", 0, 1, 1<<62)
	if err != nil {
		return nil, err
	}
	limit, err := number(r, "limit", defaultLimit, 1, maxLimit)
	if err != nil {
		return nil, err
	}
	list, err := changes(c, limit, func(t string) ([]store.Event, error) {
		return a.store.Events(r.Context(), t, r.URL.Query().Get("vulnerability"), before, limit)
	})
	if err != nil {
		return nil, err
	}
	out := events{Events: []event{}}
	for _, e := range list {
		out.Events = append(out.Events, event{e.ID, e.At, e.Generation, e.Kind, e.Advisory, append([]string{}, e.CVEs...),
			e.Type, e.Name, e.Version, severity(e.Was), severity(e.IsNow), e.Images})
	}
	if int64(len(list)) == limit {
		out.Before = list[len(list)-1].ID
	}
	return out, nil
}

// changes are those of all tenants of a call, newest first. What has changed for a
// package is one event to all who have it.
func changes(c tenant.Call, limit int64, list func(tenant string) ([]store.Event, error)) (out []store.Event, err error) {
	at := map[int64]int{}
	err = tenant.Act(c, func(t string) error {
		some, err := list(t)
		for _, e := range some {
			if i, ok := at[e.ID]; ok {
				out[i].Images += e.Images
				continue
			}
			at[e.ID] = len(out)
			out = append(out, e)
		}
		return err
	})
	slices.SortFunc(out, func(a, b store.Event) int { return cmp.Compare(b.ID, a.ID) })
	return out[:min(int64(len(out)), limit)], err
}

// severity is "" for no finding.
func severity(rank int64) string {
	if rank < 0 {
		return ""
	}
	return report.SeverityName(rank)
}
