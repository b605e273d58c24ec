package secret

import (
	"math/rand/v2"
	"testing"

	"github.com/onceover/onceover/test/planted"
)

// TestPrefix holds that no pattern matches what its prefix turns away: of each
// token rule a match, and the same with bytes changed.
func TestPrefix(t *testing.T) {
	r := rand.New(rand.NewPCG(12, 12))
	rules, matches, turned := 0, 0, 0
	for _, rule := range engine(t).rules {
		if rule.Token == "" {
			continue
		}
		if err := rule.compile(); err != nil {
			t.Fatal(err)
		}
		rules++
		for range 50 {
			b := []byte(planted.Text(r, rule.Token))
			for range 20 {
				is, may := rule.pattern.Match(b), rule.start.may(b)
				if is {
					matches++
				}
				if is && !may {
					t.Fatalf("%s matches %q", rule.ID, b)
				}
				if !may {
					turned++
				}
				if len(b) > 0 {
					b[r.IntN(len(b))] = byte(r.IntN(256))
				}
			}
		}
	}
	if rules < 100 || matches < 50*rules || turned < 50*rules {
		t.Errorf("%d rules, %d matches, %d turned away", rules, matches, turned)
	}
}
