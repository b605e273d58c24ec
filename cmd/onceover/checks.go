package main

import (
	"encoding/json"
	"fmt"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/all"
	"github.com/onceover/onceover/internal/check/secret"
	"github.com/onceover/onceover/internal/report"
)

// checkSetup is what the sets of analysers are made from, beside what is built
// in. The children that read layers get it too: scan.Config.Setup.
type checkSetup struct{}

// makers make the set of each check. Only those that are asked for are made:
// rules cost something to read.
var makers = map[string]func(checkSetup) (*analyze.Set, error){
	report.CheckSecrets: func(checkSetup) (*analyze.Set, error) {
		return analyze.NewSet(report.CheckSecrets, secret.NewAnalyzer()), nil
	},
}

// packageSet looks for packages, and for the digests of files if they are
// wanted.
func packageSet(files bool) *analyze.Set {
	if files {
		return all.Set().WithFiles()
	}
	return all.Set()
}

// checkSets are the sets of the checks named, and their setup for children.
func checkSets(s checkSetup, checks ...string) (sets []*analyze.Set, setup json.RawMessage, err error) {
	for _, check := range checks {
		set, err := makers[check](s)
		if err != nil {
			return nil, nil, err
		}
		sets = append(sets, set)
	}
	setup, err = json.Marshal(s)
	return sets, setup, err
}

// makeSet is the scan.Maker of this program.
func makeSet(key string, setup json.RawMessage) (*analyze.Set, error) {
	check := report.CheckOf(key)
	if check == report.CheckPackages {
		set := packageSet(false)
		if set.Key() != key {
			set = packageSet(true)
		}
		return set, nil
	}
	maker := makers[check]
	if maker == nil {
		return nil, fmt.Errorf("no analysers have the key %s", key)
	}
	var s checkSetup
	if err := json.Unmarshal(setup, &s); err != nil {
		return nil, fmt.Errorf("read setup of analysers: %w", err)
	}
	return maker(s)
}
