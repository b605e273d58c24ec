package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/export"
	"github.com/onceover/onceover/internal/fault"
)

// maxShownProblems is how many unreadable records are named one by one.
const maxShownProblems = 20

// dbCmd is "onceover db".
type dbCmd struct {
	Update dbUpdateCmd `cmd:"" help:"Fetch the advisories that are new and replace the database."`
	Build  dbBuildCmd  `cmd:"" help:"Build a database from OSV archives at hand."`
	Import dbImportCmd `cmd:"" help:"Put a database that was made elsewhere, a bundle or a file, in place."`
	Check  dbCheckCmd  `cmd:"" help:"Check files of a feed and show what they would bring."`
	Status dbStatusCmd `cmd:"" help:"Show the age, sources and size of the database."`

	List     dbListCmd     `cmd:"" help:"List the generations of the database that are here."`
	Rollback dbRollbackCmd `cmd:"" help:"Put a former generation of the database in place again."`
	Export   dbExportCmd   `cmd:"" help:"Write a bundle of the database, or of what changed in it, to carry elsewhere."`
	Keygen   dbKeygenCmd   `cmd:"" help:"Make a pair of keys to sign bundles with and to check them."`
	Diff     dbDiffCmd     `cmd:"" help:"Show what changed from one generation to another."`

	Hashes dbHashesCmd `cmd:"" help:"Compile lists of hashes of malicious files for 'onceover scan --scanners malware'."`
}

// dbUpdateCmd is "onceover db update".
type dbUpdateCmd struct {
	URL       string     `name:"url" help:"Directory of archives laid out like that of osv.dev. Default: ${advisory_url}." placeholder:"URL" env:"ONCEOVER_ADVISORY_URL"`
	To        string     `help:"File to replace. Default: ${database_file}." placeholder:"FILE" type:"path" env:"ONCEOVER_DB"`
	Ecosystem []string   `help:"Fetch these ecosystems only, named as OSV names them; repeatable. Default: all that the server has." placeholder:"NAME" env:"ONCEOVER_ECOSYSTEMS"`
	Feed      []string   `help:"Fetch these primary feeds of distributions too, repeatable: ${feeds}; 'usual' stands for those that are small and need no consent to a licence, 'none' for none. Default: usual, and none with --url, below which they stand as feeds/NAME." placeholder:"NAME" env:"ONCEOVER_FEEDS"`
	Sources   string     `help:"Keep what was downloaded in DIR. Default: the file with .sources behind it." placeholder:"DIR" type:"path" env:"ONCEOVER_ADVISORY_SOURCES"`
	Trust     trustFlags `embed:""`
	Force     bool       `help:"Take the new advisories even if most of what the present database has is missing."`
	Quiet     bool       `short:"q" help:"No progress." env:"ONCEOVER_QUIET"`
	keepFlag  `embed:""`
}

// Help is shown by --help.
func (*dbUpdateCmd) Help() string {
	return `What was downloaded before is asked for only if it has changed, and a download that was cut off goes on where it ended. The database is replaced when the new one is complete; if anything fails, the old one stays. So it does if the new one lost most of the advisories.

A server started with --serve-advisories is recognised: it gives the finished database, or what changed in it.

Examples:

  onceover db update
  onceover db update --ecosystem Debian --ecosystem Go --to advisories.db
  onceover db update --feed usual --feed redhat
  onceover db update --url https://mirror.example.org/osv
  onceover db update --url https://onceover.example.org:8443 --key mirror.pub`
}

// chosenFeeds are the names of the feeds to fetch, and where they stand if not
// at their publishers'.
func chosenFeeds(chosen []string, url string) (names []string, bases map[string]string, err error) {
	if len(chosen) == 0 && url == "" {
		chosen = []string{"usual"}
	}
	for _, n := range chosen {
		switch n {
		case "usual":
			names = append(names, advisory.UsualFeeds()...)
		case "none":
			if len(chosen) > 1 {
				return nil, nil, fault.New(fault.Invalid, "--feed none excludes other feeds")
			}
		default:
			names = append(names, n)
		}
	}
	if url != "" {
		bases = map[string]string{}
		for _, n := range names {
			bases[n] = strings.TrimRight(url, "/") + "/feeds/" + n
		}
	}
	return names, bases, nil
}

// Run updates.
func (c *dbUpdateCmd) Run(ctx context.Context, std streams) error {
	to := cmp.Or(c.To, databaseFile())
	keys, err := c.Trust.load()
	if err != nil {
		return err
	}
	if err := makeParent(to); err != nil {
		return err
	}
	p := newProgress(std.Err, c.Quiet)
	defer p.end()
	bad := problemList{progress: p}
	feeds, bases, err := chosenFeeds(c.Feed, c.URL)
	if err != nil {
		return err
	}
	res, err := advisory.Update(ctx, advisory.UpdateOptions{
		URL: c.URL, To: to, Keys: keys, Cache: c.Sources, Ecosystems: c.Ecosystem, Feeds: feeds, FeedBases: bases, Keep: c.count(), Force: c.Force,
		Progress: showStage(p), Problem: bad.add})
	if err != nil {
		return err
	}
	bad.conclude()
	if len(res.Missing) > 0 {
		p.warn("the server does not have: %s", strings.Join(res.Missing, ", "))
	}
	for _, f := range res.FailedFeeds {
		what := "its distributions are matched with the OSV records, if there are any"
		if f.Stale {
			what = "what was fetched of it before is used"
		}
		p.warn("feed %s could not be fetched, %s: %v", f.Name, what, f.Err)
	}
	if res.SignedBy != "" {
		p.say("signed by key %s", res.SignedBy)
	}
	switch {
	case res.Mirror && !res.Rebuilt:
		p.say("%s is up to date: it is generation %.12s already", to, res.Meta.ID)
		return nil
	case res.Delta:
		p.say("the changes were enough")
	case res.Mirror:
		p.say("the whole database was fetched")
	}
	if res.Mirror {
		p.say("%s", builtText(to, res.Meta))
		return nil
	}
	if !res.Rebuilt {
		p.say("%s is up to date: nothing has changed in %s", to, plural(res.Unchanged, "file"))
		return nil
	}
	p.say("%s downloaded, %d unchanged", plural(res.Downloaded, "file"), res.Unchanged)
	p.say("%s", builtText(to, res.Meta))
	return nil
}

// dbBuildCmd is "onceover db build".
type dbBuildCmd struct {
	From  string `required:"" help:"Directory or URL that holds <ecosystem>.zip or <ecosystem>/all.zip." placeholder:"DIR|URL"`
	To    string `help:"File to write. Default: ${database_file}." placeholder:"FILE" type:"path" env:"ONCEOVER_DB"`
	Quiet bool   `short:"q" help:"No progress." env:"ONCEOVER_QUIET"`

	keepFlag `embed:""`
}

// Help is shown by --help.
func (*dbBuildCmd) Help() string {
	return `The archives hold records in the OSV format, one archive for each ecosystem, as osv.dev offers them. Records that cannot be read are left out, counted and named. The same archives under the same names give the same file. The file appears when it is complete.

Examples:

  onceover db build --from osv/ --to advisories.db
  onceover db build --from https://mirror.example.org/osv --to advisories.db`
}

// Run builds.
func (c *dbBuildCmd) Run(ctx context.Context, std streams) error {
	to := cmp.Or(c.To, databaseFile())
	if err := makeParent(to); err != nil {
		return err
	}
	p := newProgress(std.Err, c.Quiet)
	defer p.end()
	bad := problemList{progress: p}
	meta, err := advisory.Build(ctx, advisory.BuildOptions{From: c.From, To: to, Keep: c.count(), Progress: showStage(p), Problem: bad.add})
	if err != nil {
		return err
	}
	bad.conclude()
	p.say("%s", builtText(to, meta))
	return nil
}

// dbStatusCmd is "onceover db status".
type dbStatusCmd struct {
	DB     string `name:"db" help:"Database file. Default: ${database_file}, or else the starter that is built in." placeholder:"FILE" type:"path" env:"ONCEOVER_DB"`
	Format string `short:"f" help:"How to write the result: ${enum}." enum:"table,json" default:"table"`
}

// Help is shown by --help.
func (*dbStatusCmd) Help() string {
	return `Examples:

  onceover db status
  onceover db status --format json`
}

// Run shows the status.
func (c *dbStatusCmd) Run(std streams) error {
	db, err := openDatabase(c.DB)
	if err != nil {
		return err
	}
	defer db.Close()
	s := newStatus(db.Meta(), time.Now())
	if !s.Starter {
		s.Path = cmp.Or(c.DB, databaseFile())
	}
	if c.Format == "json" {
		enc := json.NewEncoder(std.Out)
		enc.SetIndent("", "  ")
		enc.SetEscapeHTML(false)
		return enc.Encode(s)
	}
	return s.write(std.Out)
}

// status is the result of "db status" as JSON; see docs/configuration.md.
type status struct {
	SchemaVersion int `json:"schema_version"`
	// Path of the file; empty for the starter.
	Path       string `json:"path,omitempty"`
	Generation string `json:"generation"`
	Source     string `json:"source"`
	Starter    bool   `json:"starter"`
	Note       string `json:"note,omitempty"`
	// NewestRecord is when the newest record was changed, RFC 3339;
	// AgeDays the whole days since.
	NewestRecord string                            `json:"newest_record,omitempty"`
	AgeDays      int                               `json:"age_days"`
	Built        string                            `json:"built,omitempty"`
	Bytes        int64                             `json:"bytes"`
	Records      int64                             `json:"records"`
	Packages     int64                             `json:"packages"`
	CVEs         int64                             `json:"cves"`
	KEV          int64                             `json:"kev"`
	EPSS         int64                             `json:"epss"`
	Left         map[string]int64                  `json:"left,omitempty"`
	Ecosystems   map[string]advisory.EcosystemMeta `json:"ecosystems"`
	Files        []advisory.FileMeta               `json:"files,omitempty"`
	// Feeds are the archives, the primary feeds and the files of facts,
	// with their ages.
	Feeds []feedState `json:"feeds,omitempty"`

	old bool // the newest record is
}

func newStatus(m advisory.Meta, now time.Time) status {
	s := status{
		SchemaVersion: 1, Generation: m.ID, Source: m.Source, Starter: m.Starter, Note: m.Note,
		NewestRecord: formatMillis(m.DataDate), Bytes: m.Bytes, Records: m.Records, Packages: m.Packages,
		CVEs: m.CVEs, KEV: m.KEV, EPSS: m.EPSS, Left: m.Left, Ecosystems: m.Ecosystems, Files: m.Files,
	}
	s.AgeDays, s.old = ageOf(m.DataDate, now)
	s.Feeds = feedsOf(m, now)
	if !m.Built.IsZero() {
		s.Built = m.Built.UTC().Format(time.RFC3339)
	}
	return s
}

func (s status) write(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(name, format string, args ...any) {
		fmt.Fprintf(w, "%s\t%s\n", name, export.Printable(fmt.Sprintf(format, args...)))
	}
	line("database", "%s", cmp.Or(s.Path, "starter, built into onceover"))
	line("generation", "%s", s.Generation)
	line("source", "%s", s.Source)
	if s.NewestRecord != "" {
		line("newest record", "%s, %d days old", s.NewestRecord, s.AgeDays)
	}
	if s.Built != "" && !s.Starter {
		line("written", "%s, %s", s.Built, bytesText(s.Bytes))
	}
	line("advisories", "%d, for %d packages", s.Records, s.Packages)
	line("cves", "%d, known to be exploited %d, with a score of epss %d", s.CVEs, s.KEV, s.EPSS)
	for _, reason := range slices.Sorted(maps.Keys(s.Left)) {
		line("left out", "%d %s", s.Left[reason], reason)
	}
	fmt.Fprintf(w, "\nECOSYSTEM\tENTRIES\tPACKAGES\n")
	for _, name := range slices.Sorted(maps.Keys(s.Ecosystems)) {
		e := s.Ecosystems[name]
		fmt.Fprintf(w, "%s\t%d\t%d\n", export.Printable(name), e.Records, e.Packages)
	}
	if len(s.Feeds) > 0 {
		fmt.Fprintf(w, "\nFEED\tRECORDS\tUNREADABLE\tNEWEST\tAGE\tLICENCES\n")
		for _, f := range s.Feeds {
			age := ""
			if f.Date != "" {
				age = plural(f.AgeDays, "day")
			}
			fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\t%s\n", export.Printable(f.Feed), f.Records, f.Unreadable,
				f.Date, age, export.Printable(strings.Join(f.Licences, ", ")))
		}
	}
	if s.old && !s.Starter {
		fmt.Fprintf(w, "\nwarning: nothing is newer than %d days: bring the database up to date with 'onceover db update'\n", s.AgeDays)
	}
	for _, f := range s.Feeds {
		// One feed alone: its source may have gone, or it is quiet.
		if f.Old && !s.old {
			fmt.Fprintf(w, "\nwarning: %s has nothing newer than %d days\n", export.Printable(f.Feed), f.AgeDays)
		}
	}
	if s.Note != "" {
		fmt.Fprintf(w, "\nnote: %s\n", export.Printable(s.Note))
	}
	if s.Starter {
		fmt.Fprintf(w, "\nnote: %s\n", export.StarterNotice)
	}
	return w.Flush()
}

// problemList names the first unreadable records and counts the others.
type problemList struct {
	progress *progress
	n        int
}

func (l *problemList) add(p advisory.Problem) {
	l.progress.mu.Lock()
	l.n++
	n := l.n
	l.progress.mu.Unlock()
	if n <= maxShownProblems {
		l.progress.warn("left out: %s: %v", strings.Trim(p.File+": "+p.Record, ": "), p.Err)
	}
}

func (l *problemList) conclude() {
	if l.n > maxShownProblems {
		l.progress.warn("left out %d records in all that cannot be read", l.n)
	}
}

// showStage shows how far a build has come.
func showStage(p *progress) func(advisory.Progress) {
	return func(s advisory.Progress) {
		switch {
		case s.Stage == "download" && s.Total > 0:
			p.now("download %s: %s of %s", s.File, bytesText(s.Done), bytesText(s.Total))
		case s.Stage == "download":
			p.now("download %s: %s", s.File, bytesText(s.Done))
		case s.Total > 0:
			p.now("%s %s: %d of %d", s.Stage, s.File, s.Done, s.Total)
		default:
			p.now("%s %s: %d", s.Stage, s.File, s.Done)
		}
	}
}

func builtText(to string, m advisory.Meta) string {
	return fmt.Sprintf("%s: generation %.12s, %d advisories for %d packages in %d ecosystems, newest record %s",
		to, m.ID, m.Records, m.Packages, len(m.Ecosystems), cmp.Or(formatMillis(m.DataDate), "undated"))
}

func makeParent(path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return fmt.Errorf("make directory of the database: %w", err)
	}
	return nil
}

// feedNames lists the feeds that can be fetched, for --help.
func feedNames() string { return strings.Join(advisory.FetchedNames(), ", ") }
