package amazon

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"path"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/advisory/feed"
	"github.com/onceover/onceover/internal/advisory/feed/feedtest"
	"github.com/onceover/onceover/internal/advisory/feed/updateinfo"
)

const samples = "pkg/fetch/amazon/testdata/fixtures/"

func sample(t testing.TB, name string) []byte {
	t.Helper()
	return feedtest.Gunzip(t, feedtest.Sample(t, feedtest.Sources, samples+"updateinfo_"+name+".xml.gz"))
}

// facts are what another program reads in the same files.
type facts struct {
	ID, Severity        string
	Published, Modified int64
	CVEs                []string
	// Fixed versions by package.
	Fixed []string
}

// golden reads the facts from that program's output for a repository.
func golden(t *testing.T, repository string, text []byte) facts {
	t.Helper()
	var g struct {
		ID, Severity    string
		Issued, Updated struct{ Date string }
		References      struct {
			Reference []struct{ ID, Type string }
		}
		Pkglist struct {
			Collection struct {
				Package []struct{ Name, Epoch, Version, Release string }
			}
		}
	}
	if err := json.Unmarshal(text, &g); err != nil {
		t.Fatal(err)
	}
	release, _, _ := strings.Cut(repository, "/")
	f := facts{ID: g.ID, Severity: g.Severity, Published: millis(t, g.Issued.Date), Modified: millis(t, g.Updated.Date)}
	for _, r := range g.References.Reference {
		if r.Type == "cve" {
			f.CVEs = append(f.CVEs, r.ID)
		}
	}
	slices.Sort(f.CVEs)
	for _, p := range g.Pkglist.Collection.Package {
		f.Fixed = append(f.Fixed, "Amazon Linux:"+release+" "+p.Name+" "+p.Epoch+":"+p.Version+"-"+p.Release)
	}
	slices.Sort(f.Fixed)
	f.Fixed = slices.Compact(f.Fixed)
	return f
}

func millis(t *testing.T, date string) int64 {
	t.Helper()
	at, err := time.Parse("2006-01-02 15:04:05"[:len(date)], date)
	if err != nil {
		t.Fatal(err)
	}
	return at.UnixMilli()
}

func factsOf(r feed.Record) facts {
	f := facts{ID: r.ID, Severity: r.Severity, Published: r.Published, Modified: r.Modified, CVEs: r.CVEs}
	for _, a := range r.Affected {
		v := a.Ranges[0].Fixed
		if !strings.Contains(v, ":") {
			v = "0:" + v
		}
		f.Fixed = append(f.Fixed, a.Ecosystem+" "+a.Name+" "+v)
	}
	slices.Sort(f.Fixed)
	return f
}

// Every sample says what another program reads in it.
func TestSamples(t *testing.T) {
	want := map[string]facts{}
	for name, text := range feedtest.Files(t, feedtest.Sources, "pkg/fetch/amazon/testdata/golden/") {
		want[strings.TrimSuffix(path.Base(name), ".json")] = golden(t, name, text)
	}
	for _, name := range []string{"1", "2", "2_kernel-5.15", "2022", "2023", "2023_kernel-livepatch", "2023_nvidia"} {
		rs := feedtest.Records(t, New(), name+"/updateinfo.xml", sample(t, name))
		if len(rs) != 1 {
			t.Fatalf("%s: %d records", name, len(rs))
		}
		if diff := cmp.Diff(want[rs[0].ID], factsOf(rs[0])); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// The pages of advisories, as another program knows them.
func TestAddress(t *testing.T) {
	n := 0
	for name, text := range feedtest.Files(t, feedtest.Sources, "pkg/extract/amazon/testdata/golden/data/") {
		id := strings.TrimSuffix(path.Base(name), ".json")
		n++
		if want := `"url": "` + address(id) + `"`; address(id) == "" || !bytes.Contains(text, []byte(want)) {
			t.Errorf("%s: %s is not said", id, want)
		}
	}
	if n < 5 {
		t.Errorf("%d pages", n)
	}
}

// Two samples to the last field.
func TestRead(t *testing.T) {
	nvidia := func(name string) feed.Affected {
		return feed.Affected{Ecosystem: "Amazon Linux:2023", Name: name, Ranges: []feed.Range{{Introduced: "0", Fixed: "1.17.4-1"}}}
	}
	want := []feed.Record{{
		ID:        "ALAS2023NVIDIA-2025-001",
		CVEs:      []string{"CVE-2025-23359"},
		Summary:   "important priority package update for libnvidia-container",
		Details:   "Package updates are available for Amazon Linux 2023 - Nvidia that fix the following vulnerabilities:\nCVE-2025-23359:\n\tNVIDIA Container Toolkit for Linux contains a Time-of-Check Time-of-Use (TOCTOU) vulnerability when used with default configuration, where a crafted container image could gain access to the host file system. A successful exploit of this vulnerability might lead to code execution, denial of service, escalation of privileges, information disclosure, and data tampering.\n",
		Severity:  "important",
		Published: 1739574780000, Modified: 1741192740000,
		URL: "https://alas.aws.amazon.com/AL2023/ALASNVIDIA-2025-001.html",
		Affected: []feed.Affected{nvidia("libnvidia-container-devel"), nvidia("libnvidia-container-libseccomp2"), nvidia("libnvidia-container-static"),
			nvidia("libnvidia-container-tools"), nvidia("libnvidia-container1"), nvidia("libnvidia-container1-debuginfo")},
	}}
	if diff := cmp.Diff(want, feedtest.Records(t, New(), "updateinfo.xml", sample(t, "2023_nvidia"))); diff != "" {
		t.Error(diff)
	}
	kernel := feedtest.Records(t, New(), "updateinfo.xml", sample(t, "2_kernel-5.15"))[0]
	i := slices.IndexFunc(kernel.Affected, func(a feed.Affected) bool { return a.Name == "kernel" })
	if diff := cmp.Diff(feed.Affected{Ecosystem: "Amazon Linux:2", Name: "kernel",
		Ranges: []feed.Range{{Introduced: "5.15", Fixed: "5.15.43-20.123.amzn2"}}}, kernel.Affected[i]); diff != "" {
		t.Error(diff)
	}
}

func TestBegin(t *testing.T) {
	for _, tc := range []struct{ topic, epoch, version, want string }{
		{"", "0", "4.14.1", "0"},
		{"kernel-5.15", "0", "5.15.43", "5.15"},
		{"kernel-5.15", "0", "1.0", "0"}, // kernel-livepatch-5.15.43-20.123
		{"kernel-5.1", "0", "5.15.43", "0"},
		{"php8.2", "1", "8.2.1", "1:8.2"},
		{"redis6", "", "6.2.7", "6"},
		{"postgresql14", "0", "14", "14"},
		{"docker", "0", "20.10.17", "0"},
		{"corretto8", "1", "1.8.0_362.b09", "0"},
	} {
		if got := begin(tc.topic)(updateinfo.Package{Epoch: tc.epoch, Version: tc.version}); got != tc.want {
			t.Errorf("%s, %s:%s: got %s, want %s", tc.topic, tc.epoch, tc.version, got, tc.want)
		}
	}
}

func update(typ, id, collection, pkg string) string {
	return "<?xml version=\"1.0\"?>\n<updates>\n<update type=\"" + typ + "\">\n<id>" + id + "</id><pkglist>\n" +
		collection + pkg + "</collection></pkglist></update>\n</updates>\n"
}

const (
	al2023 = `<collection short="amazon-linux-2023">`
	bash   = `<package name="bash" version="5.2" release="1.amzn2023" epoch="0" arch="x86_64"/>`
)

func TestReadOdd(t *testing.T) {
	for _, tc := range []struct {
		name, text string
		want       []string
	}{
		{"a security update", update("security", "ALAS2023-2024-1", al2023, bash), []string{"Amazon Linux:2023 bash"}},
		{"a bug fix", update("bugfix", "ALAS2023-2024-1", al2023, bash), nil},
		{"a collection without a name", update("security", "ALAS2KERNEL-5.15-2024-1", "<collection>", bash), []string{"Amazon Linux:2 bash"}},
		{"the first release by its id", update("security", "ALAS-2011-1", "<collection>", bash), []string{"Amazon Linux:1 bash"}},
		{"one package for each version", update("security", "ALAS2023-2024-1", al2023, bash+bash+strings.ReplaceAll(bash, "x86_64", "src")), []string{"Amazon Linux:2023 bash"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var got []string
			for _, r := range feedtest.Records(t, New(), "updateinfo.xml", []byte(tc.text)) {
				for _, a := range r.Affected {
					got = append(got, a.Ecosystem+" "+a.Name)
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestReadRejects(t *testing.T) {
	for _, tc := range []struct {
		text string
		line int
	}{
		{"", 0},
		{"<html>\n<body/></html>", 1},
		{update("security", "", al2023, bash), 3},
		{update("security", "ALAS2023-2024-1", `<collection short="fedora-41">`, bash), 3},
		{update("security", "ALAS2023-2024-1", al2023, strings.Replace(bash, `version="5.2"`, ``, 1)), 3},
		{strings.Replace(update("security", "ALAS2023-2024-1", al2023, bash), "</pkglist>", "</packages>", 1), 5},
	} {
		feedtest.Rejects(t, New(), "updateinfo.xml", tc.text, tc.line)
	}
	t.Run("without an end", func(t *testing.T) {
		if testing.Short() {
			t.Skipf("reads %d bytes one by one", feed.MaxDocumentBytes)
		}
		feedtest.Rejects(t, New(), "updateinfo.xml", "<updates>\n<update><description>"+strings.Repeat("&amp;", feed.MaxDocumentBytes/5+1), 0)
	})
	feedtest.RejectsCut(t, New(), "updateinfo.xml", []byte(update("security", "ALAS2023-2024-1", al2023, bash)))
	bad := feedtest.Sample(t, feedtest.Sources, samples+"updateinfo_invalid_xml.xml.gz")
	if z, err := gzip.NewReader(bytes.NewReader(bad)); err == nil {
		text, _ := io.ReadAll(z)
		feedtest.Rejects(t, New(), "updateinfo.xml", string(text), 0)
	}
}

func TestRemotes(t *testing.T) {
	md := feedtest.Sample(t, feedtest.Sources, samples+"repomd_valid.xml")
	none := feedtest.Sample(t, feedtest.Sources, samples+"repomd_noupdateinfo.xml")
	files := map[string][]byte{
		"2/extras-catalog.json":                                      feedtest.Sample(t, feedtest.Sources, samples+"extras-catalog_valid.json"),
		"2018.03/updates/x86_64/mirror.list":                         []byte("http://packages.us-west-2.amazonaws.com/2018.03/updates/fc3a/x86_64/\n"),
		"2018.03/updates/fc3a/x86_64/repodata/repomd.xml":            md,
		"2/core/latest/x86_64/mirror.list":                           []byte("https://cdn.amazonlinux.com/2/core/2.0/x86_64/ab12"),
		"2/core/2.0/x86_64/ab12/repodata/repomd.xml":                 md,
		"al2023/core/mirrors/latest/x86_64/mirror.list":              []byte("https://cdn.amazonlinux.com/al2023/core/guids/cd34/x86_64/\n"),
		"al2023/core/guids/cd34/x86_64/repodata/repomd.xml":          md,
		"al2023/kernel-livepatch/mirrors/latest/x86_64/mirror.list":  []byte("https://cdn.amazonlinux.com/al2023/kernel-livepatch/guids/1/x86_64/\n"),
		"al2023/kernel-livepatch/guids/1/x86_64/repodata/repomd.xml": md,
		"al2023/nvidia/mirrors/latest/x86_64/mirror.list":            []byte("https://cdn.amazonlinux.com/al2023/nvidia/guids/2/x86_64/\n"),
		"al2023/nvidia/guids/2/x86_64/repodata/repomd.xml":           md,
		"2/extras/emacs/latest/x86_64/mirror.list":                   []byte("https://cdn.amazonlinux.com/2/extras/emacs/1/x86_64/3/\n"),
		"2/extras/emacs/1/x86_64/3/repodata/repomd.xml":              none,
		"2/extras/kernel-5.15/latest/x86_64/mirror.list":             []byte("https://cdn.amazonlinux.com/2/extras/kernel-5.15/1/x86_64/4/\n"),
		"2/extras/kernel-5.15/1/x86_64/4/repodata/repomd.xml":        md,
	}
	base := feedtest.Server(t, files)
	got, err := New().Remotes(context.Background(), base, feedtest.Get)
	if err != nil {
		t.Fatal(err)
	}
	want := []feed.Remote{
		{URL: base + "/2018.03/updates/fc3a/x86_64/repodata/updateinfo.xml.gz", Name: "1/updates/updateinfo.xml.gz"},
		{URL: base + "/2/core/2.0/x86_64/ab12/repodata/updateinfo.xml.gz", Name: "2/core/updateinfo.xml.gz"},
		{URL: base + "/2/extras/kernel-5.15/1/x86_64/4/repodata/updateinfo.xml.gz", Name: "2/extras/kernel-5.15/updateinfo.xml.gz"},
		{URL: base + "/al2023/core/guids/cd34/x86_64/repodata/updateinfo.xml.gz", Name: "2023/core/updateinfo.xml.gz"},
		{URL: base + "/al2023/kernel-livepatch/guids/1/x86_64/repodata/updateinfo.xml.gz", Name: "2023/kernel-livepatch/updateinfo.xml.gz"},
		{URL: base + "/al2023/nvidia/guids/2/x86_64/repodata/updateinfo.xml.gz", Name: "2023/nvidia/updateinfo.xml.gz"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	for name, text := range map[string][]byte{
		"2/extras-catalog.json":                      feedtest.Sample(t, feedtest.Sources, samples+"extras-catalog_invalid.json"),
		"2/core/latest/x86_64/mirror.list":           []byte("<html>"),
		"2/core/2.0/x86_64/ab12/repodata/repomd.xml": []byte("<repomd>"),
	} {
		kept := files[name]
		files[name] = text
		if _, err := New().Remotes(context.Background(), base, feedtest.Get); err == nil {
			t.Errorf("a broken %s is taken", name)
		}
		files[name] = kept
	}
	files["2/extras-catalog.json"] = []byte(`{"topics":[{"n":"../../etc"}]}`)
	if _, err := New().Remotes(context.Background(), base, feedtest.Get); err == nil {
		t.Error("a topic leads out of the feed")
	}
}

func FuzzRead(f *testing.F) {
	f.Add(update("security", "ALAS2023-2024-1", al2023, bash))
	f.Add(update("security", "ALAS2KERNEL-5.15-2024-1", `<collection short="amazon-linux-2---kernel-5.15">`, bash))
	f.Fuzz(func(t *testing.T, text string) {
		rs, err := feedtest.Read(New(), "updateinfo.xml", []byte(text))
		feedtest.Sound(t, "updateinfo.xml", rs, err)
	})
}
