package store

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

const sqlSecretTitle = `SELECT title FROM secret WHERE id = $1`

// handledWords tell of decisions on vulnerabilities: the name of the event, and what
// was done.
var handledWords = map[string]struct{ event, done string }{
	VulIgnore:      {LogVulIgnored, "ignored"},
	VulNotIgnore:   {LogVulNotIgnored, "taken back: not ignored any more"},
	VulToWhitelist: {LogVulListed, "put on the whitelist"},
	VulRepaired:    {LogVulRepaired, "marked as repaired by hand"},
}

// logHandled tells of a decision: each image has an entry, unless they are many.
// Remarks stand in the history alone.
func logHandled(ctx context.Context, tx *sql.Tx, project string, c chosen, action string, by Actor, nowMS int64) error {
	type concerned struct {
		tag  string
		vuls []int64
	}
	of := map[string]*concerned{} // by image
	vuls := map[int64]bool{}
	for _, o := range c.found {
		vuls[o.vul] = true
		for _, i := range c.images[o.content] {
			if of[i.id] == nil {
				of[i.id] = &concerned{tag: i.name + ":" + i.version}
			}
			of[i.id].vuls = append(of[i.id].vuls, o.vul)
		}
	}
	images := make([]*concerned, 0, len(of))
	for _, i := range of {
		images = append(images, i)
	}
	slices.SortFunc(images, func(a, b *concerned) int { return strings.Compare(a.tag, b.tag) })
	words := handledWords[action]
	if n := len(images); n > maxLoggedEach {
		tags := make([]string, n)
		for i, one := range images {
			tags[i] = one.tag
		}
		what, err := wordingOf(ctx, tx, sortedKeys(vuls), "vulnerabilities")
		if err != nil {
			return err
		}
		return putLog(ctx, tx, project, nowMS, LogEntry{Type: LogVul, Name: words.event, ResourceType: LogOfVul, Resource: what.short, By: by,
			Content: fmt.Sprintf("%s in %d images: %s: %s.", what.long, n, some(tags), words.done)})
	}
	entries := make([]LogEntry, len(images))
	for i, one := range images {
		slices.Sort(one.vuls)
		what, err := wordingOf(ctx, tx, slices.Compact(one.vuls), "vulnerabilities")
		if err != nil {
			return err
		}
		entries[i] = LogEntry{Type: LogVul, Name: words.event, ResourceType: LogOfImage, Resource: one.tag, By: by,
			Content: fmt.Sprintf("%s in %s: %s.", what.long, one.tag, words.done)}
	}
	return putLog(ctx, tx, project, nowMS, entries...)
}

// ruleWords are what was done to rules of a whitelist.
var ruleWords = map[string]string{LogListAdded: "added", LogListChanged: "changed", LogListDeleted: "deleted"}

// logRules tells of rules of the whitelist for some vulnerabilities, one for each;
// scope is what they hold for, "" if that is over.
func logRules(ctx context.Context, tx *sql.Tx, project, event string, vuls []int64, scope string, by Actor, nowMS int64) error {
	entry := func(vuls []int64) (LogEntry, error) {
		what, err := wordingOf(ctx, tx, vuls, "rules")
		return LogEntry{Type: LogWhitelist, Name: event, ResourceType: LogOfRule, Resource: what.short, By: by,
			Content: fmt.Sprintf("Whitelist for %s%s: %s.", what.long, scope, ruleWords[event])}, err
	}
	each := [][]int64{vuls}
	if len(vuls) <= maxLoggedEach {
		each = slices.Collect(slices.Chunk(vuls, 1))
	}
	entries := make([]LogEntry, len(each))
	for i, some := range each {
		var err error
		if entries[i], err = entry(some); err != nil {
			return err
		}
	}
	return putLog(ctx, tx, project, nowMS, entries...)
}

func scopeWords(scope string, images int) string {
	if scope == RuleAllImages {
		return " in all images"
	}
	return fmt.Sprintf(" in %d images", images)
}

// logSecret tells of a decision on a secret. Where it stands is for the list of
// secrets alone.
func logSecret(ctx context.Context, tx *sql.Tx, project string, id int64, action string, by Actor, nowMS int64) error {
	e := LogEntry{Type: LogSensitive, Name: LogSecIgnored, ResourceType: LogOfSecret, Resource: secretID(id), By: by}
	done := "ignored"
	if action != SecretIgnore {
		e.Name, done = LogSecNotIgnored, "not ignored any more"
	}
	var title string
	if err := tx.QueryRowContext(ctx, sqlSecretTitle, id).Scan(&title); err != nil {
		return fmt.Errorf("read secret: %w", err)
	}
	e.Content = fmt.Sprintf("Sensitive information %s (%s): %s.", e.Resource, title, done)
	return putLog(ctx, tx, project, nowMS, e)
}

// logPaths tells of a new list of paths that are not looked at for secrets.
func logPaths(ctx context.Context, tx *sql.Tx, project string, old []ListedPath, list []string, by Actor, nowMS int64) error {
	gone := 0
	for _, p := range old {
		if !slices.Contains(list, p.Path) {
			gone++
		}
	}
	return putLog(ctx, tx, project, nowMS, LogEntry{Type: LogWhitelist, Name: LogListChanged, ResourceType: LogOfPaths, Resource: "paths", By: by,
		Content: fmt.Sprintf("Whitelist of paths: %d paths, %d of them new, %d taken off.", len(list), len(list)-(len(old)-gone), gone)})
}

// A wording is what some vulnerabilities are called.
type wording struct{ short, long string }

// wordingOf calls one by its advisory, and more by their number and the first of
// them.
func wordingOf(ctx context.Context, tx *sql.Tx, vuls []int64, many string) (wording, error) {
	n := len(vuls)
	first := vuls
	if n > maxLoggedNames {
		first = vuls[:maxLoggedNames]
	}
	known, err := advisoryNames(ctx, tx, first)
	if err != nil {
		return wording{}, err
	}
	names := make([]string, 0, n)
	for _, v := range known {
		names = append(names, v)
	}
	slices.Sort(names)
	list := strings.Join(names, ", ")
	if n > len(names) {
		list += fmt.Sprintf(" and %d more", n-len(names))
	}
	if n == 1 {
		return wording{list, list}, nil
	}
	short := fmt.Sprintf("%d %s", n, many)
	return wording{short, short + " (" + list + ")"}, nil
}

// some are the first of many names.
func some(names []string) string {
	if n := len(names); n > maxLoggedNames {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:maxLoggedNames], ", "), n-maxLoggedNames)
	}
	return strings.Join(names, ", ")
}
