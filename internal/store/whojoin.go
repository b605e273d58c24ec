package store

import "slices"

// Join takes in what another project answered to the same question: its page
// comes after the one that is there.
func (w *Who) Join(o Who) {
	switch stands := o.Images > 0; {
	case w.Rating == nil || o.Rating != nil && stands && w.Images == 0:
		w.Rating = o.Rating
	case o.Rating != nil && stands == (w.Images > 0):
		w.Rating.join(*o.Rating)
	}
	w.Images, w.Hosts, w.Containers = w.Images+o.Images, w.Hosts+o.Hosts, w.Containers+o.Containers
	w.Listed, w.Suppressed = w.Listed+o.Listed, w.Suppressed+o.Suppressed
	w.ImageList, w.HostList = append(w.ImageList, o.ImageList...), append(w.HostList, o.HostList...)
	w.ContainerList = append(w.ContainerList, o.ContainerList...)
	w.Advisories, w.Versions, w.Incomparable = union(w.Advisories, o.Advisories), union(w.Versions, o.Versions), union(w.Incomparable, o.Incomparable)
	w.FilesUnknown, w.FilesLeftOut = w.FilesUnknown+o.FilesUnknown, w.FilesLeftOut+o.FilesLeftOut
}

// join takes in what is as much in force.
func (r *Rating) join(o Rating) {
	r.Severity, r.Score, r.Fixable, r.Priority = max(r.Severity, o.Severity), max(r.Score, o.Score), r.Fixable || o.Fixable, max(r.Priority, o.Priority)
	r.Exploits = r.Exploits.orWorse(o.Exploits)
}

// worse takes in one more advisory.
func (r *Rating) worse(v *vulFact, c tallied) {
	r.join(Rating{Severity: c.severity, Score: v.score, Exploits: v.exploits, Fixable: c.fixed, Priority: c.priority})
}

// union is what is in one of two sorted lists, sorted.
func union(a, b []string) []string {
	if len(b) == 0 {
		return a
	}
	all := append(slices.Clone(a), b...)
	slices.Sort(all)
	return slices.Compact(all)
}
