package errata

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/onceover/onceover/internal/advisory/feed"
)

// maxBuilds bounds the packages of one advisory. The largest real ones have
// 6,000, counting every architecture.
const maxBuilds = 200_000

// A build is one binary package of an advisory. Architectures do not matter:
// they are built from the same source.
type build struct {
	ecosystem, name, stream, version string
}

var (
	cve = regexp.MustCompile(`^CVE-[0-9]{4}-[0-9]{4,19}$`)
	// id of an advisory: ALSA-2019:3708, RLSA-2025:21816, RXSA-2023:0101.
	id = regexp.MustCompile(`^(?:AL|RL|RX)[SBE]A-[0-9]{4}:[0-9A-Za-z-]+$`)
)

// affected are the entries of builds, sorted, each once.
func affected(builds []build) []feed.Affected {
	slices.SortFunc(builds, func(a, b build) int {
		for _, c := range []int{
			strings.Compare(a.ecosystem, b.ecosystem), strings.Compare(a.name, b.name),
			strings.Compare(a.stream, b.stream), strings.Compare(a.version, b.version),
		} {
			if c != 0 {
				return c
			}
		}
		return 0
	})
	var out []feed.Affected
	for _, b := range slices.Compact(builds) {
		out = append(out, feed.Affected{Ecosystem: b.ecosystem, Name: b.name, Stream: b.stream,
			Ranges: []feed.Range{{Introduced: "0", Fixed: b.version}}})
	}
	return out
}

// evr writes a version of rpm. The epoch 0 is the same as none.
func evr(epoch, version, release string) (string, error) {
	if version == "" || release == "" {
		return "", fmt.Errorf("version %q, release %q", version, release)
	}
	if epoch != "" && epoch != "0" {
		return epoch + ":" + version + "-" + release, nil
	}
	return version + "-" + release, nil
}

// cves are the CVEs in ids, in their order.
func cves(ids []string) []string {
	var out []string
	for _, id := range ids {
		if cve.MatchString(id) && !slices.Contains(out, id) {
			out = append(out, id)
		}
	}
	return out
}
