package all

import (
	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/apk"
	"github.com/onceover/onceover/internal/analyze/dpkg"
	"github.com/onceover/onceover/internal/analyze/gobinary"
	"github.com/onceover/onceover/internal/analyze/osrelease"
)

// Set is the set of all analysers.
func Set() *analyze.Set {
	return analyze.NewSet(
		osrelease.New(),
		dpkg.New(),
		apk.New(),
		gobinary.New(),
	)
}
