package match

import (
	"strings"
	"time"

	"github.com/onceover/onceover/internal/report"
)

// ends are the days on which the publisher's security support for everyone
// ended or will end, as the publishers say: Debian with its LTS team
// (wiki.debian.org/LTS), Ubuntu without Pro, Alpine (alpinelinux.org/releases),
// CentOS and Red Hat without life-cycle extensions, and Amazon. Releases
// whose end is not in sight are missing.
var ends = map[string]string{
	"debian 7": "2018-05-31", "debian 8": "2020-06-30", "debian 9": "2022-06-30", "debian 10": "2024-06-30", "debian 11": "2026-08-31",
	"ubuntu 12.04": "2017-04-28", "ubuntu 14.04": "2019-04-25", "ubuntu 16.04": "2021-04-30", "ubuntu 18.04": "2023-05-31", "ubuntu 20.04": "2025-05-31",
	"alpine 3.6": "2019-05-01", "alpine 3.7": "2019-11-01", "alpine 3.8": "2020-05-01", "alpine 3.9": "2020-11-01", "alpine 3.10": "2021-05-01", "alpine 3.11": "2021-11-01",
	"alpine 3.12": "2022-05-01", "alpine 3.13": "2022-11-01", "alpine 3.14": "2023-05-01", "alpine 3.15": "2023-11-01", "alpine 3.16": "2024-05-23", "alpine 3.17": "2024-11-22",
	"alpine 3.18": "2025-05-09", "alpine 3.19": "2025-11-01", "alpine 3.20": "2026-04-01", "alpine 3.21": "2026-11-01",
	"centos 5": "2017-03-31", "centos 6": "2020-11-30", "centos 7": "2024-06-30", "centos 8": "2021-12-31",
	"centos-stream 8": "2024-05-31", "centos-stream 9": "2027-05-31",
	"rhel 5": "2017-03-31", "rhel 6": "2020-11-30", "rhel 7": "2024-06-30",
	"amzn 2018": "2023-12-31", "amzn 2": "2026-06-30",
}

// EndOfSupport is the last day of security support of d for everyone, as its
// publisher says, "2024-06-30"; "" if it is not known or not in sight.
func EndOfSupport(d report.Distro) string {
	major, rest, _ := strings.Cut(d.VersionID, ".")
	minor, _, _ := strings.Cut(rest, ".")
	id := strings.ToLower(d.ID)
	if id == "rhel" && d.Stream != "" {
		return "" // paid for
	}
	if id == "centos" && strings.Contains(d.Name, "Stream") {
		id = "centos-stream"
	}
	end, ok := ends[id+" "+major]
	if !ok {
		end = ends[id+" "+major+"."+minor]
	}
	return end
}

// endOfLife is the day on which security support of d ended, "" if it has not
// by now or is not known.
func endOfLife(d report.Distro, now time.Time) string {
	end := EndOfSupport(d)
	if end == "" || now.UTC().Format(time.DateOnly) <= end {
		return ""
	}
	return end
}
