package tenant

import (
	"context"
	"strings"
	"testing"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fault"
)

// granted looks up among the enterprise projects that a key is granted.
func granted(names string) Lookup {
	all := strings.Fields(names)
	return func(_ context.Context, _ auth.Key, enterprise string) ([]string, error) {
		for _, e := range all {
			if e == enterprise {
				return []string{e}, nil
			}
		}
		if enterprise == auth.AllEnterpriseProjects && len(all) > 0 {
			return all, nil
		}
		return nil, fault.New(fault.Forbidden, "no permission for %s", enterprise)
	}
}

func TestReached(t *testing.T) {
	for _, tc := range []struct {
		name, granted, enterprise string
		reach                     Reach
		want                      string // "" for a refusal
	}{
		{"named", "0 a b", "b", Default, "b"},
		{"all by name", "0 a b", auth.AllEnterpriseProjects, Default, "0 a b"},
		{"not granted", "0 a", "b", All, ""},
		{"the default one", "0 a", "", Default, "0"},
		{"the default one is not granted", "a", "", Default, ""},
		{"all without a name", "0 a", "", All, "0 a"},
		{"the default of several", "0 a", "", Only, "0"},
		{"the only one", "a", "", Only, "a"},
		{"which one?", "a b", "", Only, ""},
		{"nothing is granted", "", "", Only, ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := reached(t.Context(), granted(tc.granted), auth.Key{}, tc.enterprise, tc.reach)
			if strings.Join(got, " ") != tc.want || (err == nil) != (tc.want != "") || err != nil && fault.CodeOf(err) != fault.Forbidden {
				t.Errorf("%q, %v; want %q", got, err, tc.want)
			}
		})
	}
}
