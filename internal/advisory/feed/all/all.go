// Package all lists the adapters of primary feeds.
package all

import (
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/amazon"
	"github.com/onceover/onceover/internal/advisory/feed/azurelinux"
	"github.com/onceover/onceover/internal/advisory/feed/custom"
	"github.com/onceover/onceover/internal/advisory/feed/debian"
	"github.com/onceover/onceover/internal/advisory/feed/errata"
	"github.com/onceover/onceover/internal/advisory/feed/fedora"
	"github.com/onceover/onceover/internal/advisory/feed/openeuler"
	"github.com/onceover/onceover/internal/advisory/feed/oracle"
	"github.com/onceover/onceover/internal/advisory/feed/photon"
	"github.com/onceover/onceover/internal/advisory/feed/redhat"
	"github.com/onceover/onceover/internal/advisory/feed/secdb"
	"github.com/onceover/onceover/internal/advisory/feed/suse"
	"github.com/onceover/onceover/internal/advisory/feed/ubuntu"
	"github.com/onceover/onceover/internal/advisory/feed/updateinfo"
)

// Feeds are all adapters, sorted by name.
func Feeds() []feed.Feed {
	fs := []feed.Feed{
		amazon.New(),
		azurelinux.New(),
		custom.New(),
		debian.New(),
		errata.Alma(),
		errata.Rocky(),
		fedora.New(),
		openeuler.New(),
		oracle.New(),
		photon.New(),
		redhat.New(),
		secdb.Alpine(),
		secdb.Chainguard(),
		secdb.Wolfi(),
		suse.New(),
		ubuntu.New(),
		updateinfo.New(),
	}
	slices.SortFunc(fs, func(a, b feed.Feed) int { return strings.Compare(a.Info().Name, b.Info().Name) })
	return fs
}

// Find returns the adapter with a name, nil if there is none.
func Find(name string) feed.Feed {
	for _, f := range Feeds() {
		if f.Info().Name == name {
			return f
		}
	}
	return nil
}
