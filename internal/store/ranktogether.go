package store

import (
	"context"
	"slices"
	"strings"
)

// maxRankSets is how many lists of several projects are kept: there is one for
// each set of projects that a key is granted.
const maxRankSets = 8

// A rankPlace is where an advisory stands in the list of one project.
type rankPlace struct {
	list *rankList
	at   int
}

// rankLists is the list of one project or of several together, up to date.
func (s *Store) rankLists(ctx context.Context, projects []string) (*rankList, error) {
	lists := make([]*rankList, len(projects))
	for i, p := range projects {
		var err error
		if lists[i], err = s.rankList(ctx, p); err != nil {
			return nil, err
		}
	}
	if len(lists) == 1 {
		return lists[0], nil
	}
	key := strings.Join(projects, " ")
	r := &s.ranks
	r.mu.Lock()
	defer r.mu.Unlock()
	if have := r.together[key]; have != nil && slices.Equal(have.of, lists) {
		return have, nil
	}
	if r.together == nil || len(r.together) >= maxRankSets {
		r.together = map[string]*rankList{}
	}
	out := joinRanks(lists)
	r.together[key] = out
	return out, nil
}

// joinRanks puts lists together: an advisory stands in the result once.
func joinRanks(lists []*rankList) *rankList {
	out := &rankList{of: lists, orders: map[string][]int32{}}
	at := map[string]int{}
	for _, l := range lists {
		for i := range l.all {
			one := &l.all[i]
			to, ok := at[one.ID]
			if !ok {
				to = len(out.all)
				at[one.ID] = to
				out.all = append(out.all, *one)
				out.all[to].Judgements = slices.Clone(one.Judgements)
				out.places = append(out.places, nil)
			} else {
				out.all[to].join(one)
			}
			out.places[to] = append(out.places[to], rankPlace{l, i})
		}
	}
	return out
}

// join takes in the same advisory of another project. What stands in one goes
// before what documents set aside in the other.
func (r *Ranked) join(o *Ranked) {
	switch stands := o.Images > 0; {
	case stands && r.Images == 0:
		r.Severity, r.Fixable, r.Priority = o.Severity, o.Fixable, o.Priority
	case stands == (r.Images > 0):
		r.Severity, r.Fixable, r.Priority = max(r.Severity, o.Severity), r.Fixable || o.Fixable, max(r.Priority, o.Priority)
	}
	r.Images, r.Containers, r.Suppressed = r.Images+o.Images, r.Containers+o.Containers, r.Suppressed+o.Suppressed
	for _, j := range o.Judgements {
		if len(r.Judgements) < maxJudgements && !slices.Contains(r.Judgements, j) {
			r.Judgements = append(r.Judgements, j)
		}
	}
}
