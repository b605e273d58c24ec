package store

import (
	"database/sql"

	gocmp "github.com/google/go-cmp/cmp"
)

// handledByHand reads what is handled in each content, by advisory, from the
// decisions and the images of rules as they stand.
func (w *world) handledByHand() map[int64]map[string]bool {
	w.t.Helper()
	out := map[int64]map[string]bool{}
	put := func(r *sql.Rows) error {
		var content int64
		var vul string
		err := r.Scan(&content, &vul)
		if out[content] == nil {
			out[content] = map[string]bool{}
		}
		out[content][vul] = true
		return err
	}
	w.rows(`SELECT h.content_id, v.advisory FROM vul_handled h JOIN vulnerability v ON v.id = h.vul_id WHERE h.rule_id = 0`, put)
	w.rows(`SELECT i.content_id, v.advisory FROM whitelist r JOIN vulnerability v ON v.id = r.vul_id JOIN whitelist_image i ON i.rule_id = r.id`, put)
	w.rows(`SELECT c.id, v.advisory FROM whitelist r JOIN vulnerability v ON v.id = r.vul_id JOIN content c ON c.project_id = r.project_id WHERE r.rule_type = 'all_images'`, put)
	return out
}

// A told is a vulnerability of an image as the lists tell of it.
type told struct {
	typ     string
	handled bool
	decided bool
}

// seen asks for the findings of each image, open and handled.
func (w *world) seen() map[ImageVul]told {
	w.t.Helper()
	decided := map[ImageVul]bool{}
	w.rows(`SELECT i.id, v.advisory FROM vul_handled h JOIN vulnerability v ON v.id = h.vul_id JOIN image i ON i.content_id = h.content_id WHERE h.rule_id = 0`, func(r *sql.Rows) error {
		var p ImageVul
		err := r.Scan(&p.Image, &p.Vul)
		decided[p] = true
		return err
	})
	out := map[ImageVul]told{}
	rows, _, err := w.Images(w.t.Context(), w.project(), ImageFilter{}, all)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, i := range rows {
		for _, handled := range []bool{false, true} {
			found, _, err := w.Findings(w.t.Context(), w.project(), i.ID, VulFilter{Handled: &handled}, all)
			if err != nil {
				w.t.Fatal(err)
			}
			for _, f := range found {
				p := ImageVul{i.ID, f.VulID}
				out[p] = told{f.Type, handled, decided[p]}
			}
		}
	}
	return out
}

// agree compares the lists over all images with those of each, and the counters
// with a count from the ground up.
func (w *world) agree() {
	w.t.Helper()
	w.check()
	type numbers struct{ images, open int64 }
	for _, handled := range []*bool{nil, new(false), new(true)} {
		want, affected := map[string]numbers{}, map[string]int64{}
		for p, s := range w.seen() {
			if handled != nil && s.handled != *handled {
				continue
			}
			n := want[p.Vul]
			n.images++
			n.open += boolInt(!s.handled)
			want[p.Vul] = n
		}
		records := int64(0)
		err := w.Report(w.t.Context(), w.project(), ReportQuery{Kind: ReportVulnerability, Handled: handled}, func(r ReportRow) error {
			if want[r.Finding.VulID].images == 0 {
				w.t.Errorf("the report has %s", r.Finding.VulID)
			}
			records++
			return nil
		})
		if n, nerr := w.ReportNum(w.t.Context(), w.project(), ReportQuery{Kind: ReportVulnerability, Handled: handled}); err != nil || nerr != nil || n != records {
			w.t.Errorf("%d records, counted as %d: %v, %v", records, n, err, nerr)
		}
		list, total, err := w.Vulnerabilities(w.t.Context(), w.project(), VulFilter{Handled: handled}, all)
		if err != nil || total != int64(len(list)) {
			w.t.Fatalf("vulnerabilities: %d of %d, %v", len(list), total, err)
		}
		got := map[string]numbers{}
		for _, v := range list {
			got[v.ID] = numbers{v.ImageNum, v.OpenNum}
			rows, n, err := w.Affected(w.t.Context(), w.project(), v.ID, AffectedFilter{Handled: handled}, all)
			if err != nil || n != int64(len(rows)) {
				w.t.Fatalf("images of %s: %d of %d, %v", v.ID, len(rows), n, err)
			}
			affected[v.ID] = n
		}
		if d := gocmp.Diff(want, got, gocmp.AllowUnexported(numbers{})); d != "" {
			w.t.Errorf("vulnerabilities: %s", d)
		}
		for id, n := range affected {
			if n != want[id].images {
				w.t.Errorf("%s: %d images are listed, want %d", id, n, want[id].images)
			}
		}
	}
}
