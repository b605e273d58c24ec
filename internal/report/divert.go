package report

// diversions are the places that packages list and where the files really
// stand, by PathHash. The owner of a diversion is exempt from it.
type diversions map[uint64]struct {
	owner string
	to    uint64
}

// diversions are those of the layers that no layer above hides.
func (m *merger) diversions() diversions {
	ds := diversions{}
	for i, l := range m.layers {
		for _, o := range l.Ownership {
			if len(o.Diverted) == 0 || m.hidden(o.Path, i) {
				continue
			}
			for _, d := range o.Diverted {
				e := ds[d.From]
				e.owner, e.to = o.Owner, d.To
				ds[d.From] = e
			}
		}
	}
	return ds
}

// place is where the file stands that owner lists at h.
func (ds diversions) place(owner string, h uint64) uint64 {
	if d, ok := ds[h]; ok && d.owner != owner {
		return d.to
	}
	return h
}
