package store

import (
	"strconv"
	"strings"

	"github.com/onceover/onceover/internal/image"
)

// Scan states of an image. "waiting_for_scan", which HSS uses in questions,
// is StatusWaiting here.
const (
	StatusUnscan   = "unscan"
	StatusWaiting  = "waiting"
	StatusScanning = "scanning"
	StatusSuccess  = "success"
	StatusFailed   = "failed"
)

// Origins of a local image, as HSS names them.
const (
	localSWR   = "swr_image"
	localOther = "other_image"
)

// Types of a vulnerability, as HSS names them: of a distribution's package, or
// of any other software.
const (
	VulLinux = "linux_vul"
	VulApp   = "app_vul"
)

// A Page is a part of a list.
type Page struct{ Offset, Limit int64 }

// ImageFilter selects images. The zero value selects all; conditions are
// and-ed. Texts are exact unless said otherwise; substrings are
// case-sensitive. A value that no image can have selects nothing.
type ImageFilter struct {
	Name    string // substring
	Version string // only together with Name
	Status  string
	// LocalType is "swr_image" or "other_image".
	LocalType string
	Size      *int64 // bytes
	// The bounds of times, Unix milliseconds, inclusive. They act in
	// pairs, from < to; those of the scan select scanned images only.
	UpdatedFrom, UpdatedTo *int64
	ScannedFrom, ScannedTo *int64
	// HasVul selects scanned images only, whatever it is.
	HasVul       *bool
	HasContainer *bool

	HostName      string // substring
	HostID        string
	HostIP        string // private or public
	PrivateIP     string
	PublicIP      string
	ContainerID   string
	ContainerName string // substring
	PodID         string
	PodName       string // substring
	AppName       string // substring
}

// IsZero reports whether f selects everything, be it because what is given has
// no effect: a version without a name, or times that are no pair.
func (f ImageFilter) IsZero() bool {
	if f.Name == "" {
		f.Version = ""
	}
	if !pair(f.UpdatedFrom, f.UpdatedTo) {
		f.UpdatedFrom, f.UpdatedTo = nil, nil
	}
	if !pair(f.ScannedFrom, f.ScannedTo) {
		f.ScannedFrom, f.ScannedTo = nil, nil
	}
	return f == ImageFilter{}
}

func (f ImageFilter) where(project string) *where {
	w := &where{}
	w.add("i.project_id = ?", project)
	if f.Name != "" {
		w.contains("i.name", f.Name)
		if f.Version != "" {
			w.add("i.version = ?", f.Version)
		}
	}
	if f.Status != "" {
		w.add("c.scan_status = ?", f.Status)
	}
	w.equal("i.local_type", f.LocalType)
	if f.Size != nil {
		w.add("i.size = ?", *f.Size)
	}
	if pair(f.UpdatedFrom, f.UpdatedTo) {
		w.add("i.updated_at BETWEEN ? AND ?", *f.UpdatedFrom, *f.UpdatedTo)
	}
	if pair(f.ScannedFrom, f.ScannedTo) {
		w.add("c.scan_status = 'success' AND c.latest_scan_time BETWEEN ? AND ?", *f.ScannedFrom, *f.ScannedTo)
	}
	if f.HasVul != nil {
		w.add("c.scan_status = 'success' AND (c.vul_num > 0) = (? = 1)", boolInt(*f.HasVul))
	}
	f.hosts(w)
	f.containers(w)
	if f.AppName != "" {
		w.add("EXISTS (SELECT 1 FROM content_part cp CROSS JOIN part_package pp CROSS JOIN package p WHERE cp.content_id = c.id AND pp.part_id = cp.part_id AND p.id = pp.package_id AND pp.declared = 0 AND instr(p.name, ?) > 0)", f.AppName)
	}
	return w
}

// hosts adds the conditions that one and the same host must meet.
func (f ImageFilter) hosts(w *where) {
	if h := f.host(); len(h.parts) > 0 {
		w.add("EXISTS (SELECT 1 FROM image_host h JOIN agent a ON a.id = h.agent_id WHERE h.image_id = i.id AND "+h.text()+")", h.args...)
	}
}

func (f ImageFilter) host() *where {
	h := &where{}
	h.contains("a.host_name", f.HostName)
	h.equal("a.host_id", f.HostID)
	if f.HostIP != "" {
		h.add("(a.private_ip = ? OR a.public_ip = ?)", f.HostIP, f.HostIP)
	}
	h.equal("a.private_ip", f.PrivateIP)
	h.equal("a.public_ip", f.PublicIP)
	return h
}

// containers adds the conditions that one and the same container must meet.
func (f ImageFilter) containers(w *where) {
	if k := f.container(); len(k.parts) > 0 {
		w.add("EXISTS (SELECT 1 FROM container k WHERE k.image_id = i.id AND "+k.text()+")", k.args...)
	}
	if f.HasContainer != nil {
		w.add("(EXISTS (SELECT 1 FROM container k WHERE k.image_id = i.id)) = (? = 1)", boolInt(*f.HasContainer))
	}
}

func (f ImageFilter) container() *where {
	k := &where{}
	k.equal("k.container_id", f.ContainerID)
	k.contains("k.name", f.ContainerName)
	k.equal("k.pod_id", f.PodID)
	k.contains("k.pod_name", f.PodName)
	return k
}

func pair(from, to *int64) bool { return from != nil && to != nil && *from < *to }

// where collects conditions. Their placeholders are written "?" and numbered
// at the end, so that conditions can be nested.
type where struct {
	parts []string
	args  []any
}

func (w *where) add(condition string, args ...any) {
	w.parts = append(w.parts, condition)
	for _, a := range args {
		if s, ok := a.(string); ok {
			a = text(s) // as what is looked for is kept
		}
		w.args = append(w.args, a)
	}
}

// equal adds nothing for the empty value.
func (w *where) equal(column, value string) {
	if value != "" {
		w.add(column+" = ?", value)
	}
}

// contains is a case-sensitive substring; nothing for the empty value. In
// PostgreSQL instr is a function of ours (see migrate).
func (w *where) contains(column, value string) {
	if value != "" {
		w.add("instr("+column+", ?) > 0", value)
	}
}

// digest selects images by any digest they are known by.
func (w *where) digest(project, value string) {
	if value == "" {
		return
	}
	if d, err := image.ParseDigest(value); err == nil {
		value = string(d)
	}
	w.add("i.id IN (SELECT d.image_id FROM image_digest d WHERE d.project_id = ? AND d.digest = ? UNION ALL SELECT e.id FROM content o CROSS JOIN image e WHERE o.project_id = ? AND o.config_digest = ? AND e.content_id = o.id)", project, value, project, value)
}

// among selects one of some values, no more than a statement takes; none of them
// selects nothing. They are made up to one of few numbers, so that there are few
// statements.
func among[T int64 | string](w *where, column string, values []T) {
	if len(values) == 0 {
		w.add("1 = 0")
		return
	}
	var args []any
	for len(values) > 0 {
		var list []T
		list, values = takeList(values)
		for _, v := range list {
			args = append(args, v)
		}
	}
	w.add(column+" IN ("+strings.TrimSuffix(strings.Repeat("?, ", len(args)), ", ")+")", args...)
}

func (w *where) text() string { return strings.Join(w.parts, " AND ") }

// more is the conditions as they follow others, empty without any.
func (w *where) more() string {
	if len(w.parts) == 0 {
		return ""
	}
	return "AND " + w.text()
}

// query puts the conditions into a statement in the place of "{where}" and
// numbers all placeholders; args of the statement itself come after those of
// the conditions.
func (w *where) query(statement string, args ...any) (string, []any) {
	before, after, _ := strings.Cut(statement, "{where}")
	return number(before + w.text() + after), append(append([]any{}, w.args...), args...)
}

// number turns each "?" into $1, $2, ...
func number(q string) string {
	var b strings.Builder
	n := 0
	for _, c := range []byte(q) {
		if c != '?' {
			b.WriteByte(c)
			continue
		}
		n++
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(n))
	}
	return b.String()
}
