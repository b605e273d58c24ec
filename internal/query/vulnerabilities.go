package query

import (
	"net/http"
	"strings"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
	"github.com/onceover/onceover/internal/tenant"
)

// rating is what says how urgent something is.
type rating struct {
	Severity   string  `json:"severity"`
	CVSS       float64 `json:"cvss,omitempty"`
	KEV        bool    `json:"kev"`
	KEVSince   string  `json:"kev_since,omitempty"`
	EPSS       float64 `json:"epss,omitempty"`
	Percentile float64 `json:"epss_percentile,omitempty"`
	Fixable    bool    `json:"fixable"`
	Priority   int     `json:"priority"`
}

func newRating(severity int64, cvss float64, e store.Exploits, fixable bool, priority int) *rating {
	return &rating{report.SeverityName(severity), cvss, e.Known, e.Since, e.EPSS, e.Percentile, fixable, priority}
}

type vulnerabilities struct {
	TotalNum      int64           `json:"total_num"`
	SuppressedNum int64           `json:"suppressed_num"`
	List          []vulnerability `json:"vulnerabilities"`
}

type vulnerability struct {
	ID      string   `json:"id"`
	CVEs    []string `json:"cves"`
	Summary string   `json:"summary,omitempty"`
	URL     string   `json:"url,omitempty"`
	*rating
	ImageNum      int64              `json:"image_num"`
	HostNum       int64              `json:"host_num"`
	ContainerNum  int64              `json:"running_container_num"`
	SuppressedNum int64              `json:"suppressed_image_num"`
	VEX           []report.Judgement `json:"vex,omitempty"`
}

// vulnerabilities lists what concerns something in the tenants of a call.
func (a *api) vulnerabilities(r *http.Request, c tenant.Call) (any, error) {
	_, page, err := listParams(r, "sort", "severity", "kev", "fixable", "running", "show_suppressed", "offset", "limit")
	if err != nil {
		return nil, err
	}
	var f store.RankFilter
	if f.Severities, err = severities(r.URL.Query().Get("severity")); err != nil {
		return nil, err
	}
	var suppressed *bool
	for name, to := range map[string]**bool{"kev": &f.Exploited, "fixable": &f.Fixable, "running": &f.Running, "show_suppressed": &suppressed} {
		if *to, err = yes(r, name); err != nil {
			return nil, err
		}
	}
	f.Suppressed = suppressed != nil && *suppressed
	order := r.URL.Query().Get("sort")
	if order == "" {
		order = store.OrderPriority
	}
	list, total, aside, err := a.store.Ranked(r.Context(), c.Tenants, f, order, page)
	if err != nil {
		return nil, err
	}
	out := vulnerabilities{TotalNum: total, SuppressedNum: aside, List: []vulnerability{}}
	for _, v := range list {
		out.List = append(out.List, vulnerability{
			ID: v.ID, CVEs: append([]string{}, v.CVEs...), Summary: v.Summary, URL: v.URL,
			rating:   newRating(v.Severity, v.Score, v.Exploits, v.Fixable, v.Priority),
			ImageNum: v.Images, HostNum: v.Hosts, ContainerNum: v.Containers, SuppressedNum: v.Suppressed, VEX: v.Judgements,
		})
	}
	return out, nil
}

// severities reads names of severities, separated by commas.
func severities(s string) ([]int64, error) {
	if s == "" {
		return nil, nil
	}
	var out []int64
	for name := range strings.SplitSeq(s, ",") {
		rank := int64(report.SeverityRank(name))
		if report.SeverityName(rank) != name {
			return nil, fault.New(fault.Invalid, "severity %q: want Critical, High, Medium, Low or Unknown", name)
		}
		out = append(out, rank)
	}
	return out, nil
}
