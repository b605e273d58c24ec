package all

import (
	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/analyze/apk"
	"github.com/onceover/onceover/internal/analyze/binary"
	"github.com/onceover/onceover/internal/analyze/bitnami"
	"github.com/onceover/onceover/internal/analyze/chisel"
	"github.com/onceover/onceover/internal/analyze/composer"
	"github.com/onceover/onceover/internal/analyze/conan"
	"github.com/onceover/onceover/internal/analyze/conda"
	"github.com/onceover/onceover/internal/analyze/contentset"
	"github.com/onceover/onceover/internal/analyze/dotnet"
	"github.com/onceover/onceover/internal/analyze/dpkg"
	"github.com/onceover/onceover/internal/analyze/erlang"
	"github.com/onceover/onceover/internal/analyze/flatpak"
	"github.com/onceover/onceover/internal/analyze/gem"
	"github.com/onceover/onceover/internal/analyze/gobinary"
	"github.com/onceover/onceover/internal/analyze/java"
	"github.com/onceover/onceover/internal/analyze/kernel"
	"github.com/onceover/onceover/internal/analyze/lockfile"
	"github.com/onceover/onceover/internal/analyze/lua"
	"github.com/onceover/onceover/internal/analyze/nix"
	"github.com/onceover/onceover/internal/analyze/npm"
	"github.com/onceover/onceover/internal/analyze/osrelease"
	"github.com/onceover/onceover/internal/analyze/pacman"
	"github.com/onceover/onceover/internal/analyze/portage"
	"github.com/onceover/onceover/internal/analyze/python"
	"github.com/onceover/onceover/internal/analyze/rlang"
	"github.com/onceover/onceover/internal/analyze/rpm"
	"github.com/onceover/onceover/internal/analyze/rust"
	"github.com/onceover/onceover/internal/analyze/sbom"
	"github.com/onceover/onceover/internal/analyze/snap"
	"github.com/onceover/onceover/internal/analyze/wordpress"
	"github.com/onceover/onceover/internal/report"
)

// Set is the set of all analysers.
func Set() *analyze.Set {
	return analyze.NewSet(report.CheckPackages,
		osrelease.New(),
		contentset.New(),
		dpkg.New(),
		apk.New(),
		rpm.New(),
		gobinary.New(),
		npm.New(),
		python.New(),
		gem.New(),
		conan.New(),
		lockfile.New(),
		wordpress.New(),
		erlang.New(),
		lua.New(),
		rlang.New(),
		conda.New(),
		composer.New(),
		rust.New(),
		dotnet.New(),
		java.New(),
		chisel.New(),
		nix.New(),
		flatpak.New(),
		snap.New(),
		kernel.New(),
		portage.New(),
		pacman.New(),
		bitnami.New(),
		sbom.New(),
		binary.New(),
	)
}
