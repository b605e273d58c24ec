package version

import (
	"slices"
	"strings"
)

// compareMaven orders versions as ComparableVersion of Maven 3.8.7 and 3.9 does
// (https://maven.apache.org/pom.html#version-order-specification). A version is
// a list of numbers and words; a dash, a word behind something else, and a
// number behind a word begin a list within the list. Zeros, words for the
// release and empty lists at the end of a list say nothing.
//
// osv-scalibr/semantic follows the rule of Maven 3.8.6 and before, by which a
// word behind a dot begins no list: "1.5.9.RC1" was newer than "1.5.9-RC2".
func compareMaven(a, b string) int {
	return parseMaven(a).compare(parseMaven(b))
}

// A mavenItem is a number, a word, or a list; nil is what the items of the longer
// of two lists are held against. Lists are nested no deeper than a version has
// bytes, of which MaxBytes are compared.
type mavenItem struct {
	kind mavenKind
	text string // of numbers and words
	list []*mavenItem
}

type mavenKind int

const (
	mavenWord mavenKind = iota // the order of kinds that differ
	mavenList
	mavenNumber
)

func parseMaven(s string) *mavenItem {
	s = strings.ToLower(s)
	root := &mavenItem{kind: mavenList}
	list := root
	lists := []*mavenItem{root}
	nest := func() {
		inner := &mavenItem{kind: mavenList}
		list.list = append(list.list, inner)
		list = inner
		lists = append(lists, inner)
	}
	start, number := 0, false
	for i := range len(s) {
		switch c := s[i]; {
		case c == '.' || c == '-':
			item := &mavenItem{kind: mavenNumber}
			if i > start {
				item = newMavenItem(s[start:i], number, false)
			}
			list.list = append(list.list, item)
			start = i + 1
			if c == '-' {
				nest()
			}
		case isDigit(c) != number:
			if i > start {
				if !number && len(list.list) > 0 {
					nest()
				}
				list.list = append(list.list, newMavenItem(s[start:i], number, !number))
				start = i
				nest()
			}
			number = !number
		}
	}
	if len(s) > start {
		if !number && len(list.list) > 0 {
			nest()
		}
		list.list = append(list.list, newMavenItem(s[start:], number, false))
	}
	for _, l := range slices.Backward(lists) {
		l.normalize()
	}
	return root
}

// newMavenItem makes a number or a word. Words have short forms, some only in
// front of a digit.
func newMavenItem(s string, number, beforeDigit bool) *mavenItem {
	if number {
		return &mavenItem{kind: mavenNumber, text: s}
	}
	if beforeDigit {
		switch s {
		case "a":
			s = "alpha"
		case "b":
			s = "beta"
		case "m":
			s = "milestone"
		}
	}
	switch s {
	case "ga", "final", "release":
		s = ""
	case "cr":
		s = "rc"
	}
	return &mavenItem{kind: mavenWord, text: s}
}

func (m *mavenItem) normalize() {
	for i := len(m.list) - 1; i >= 0; i-- {
		switch item := m.list[i]; {
		case item.empty():
			m.list = slices.Delete(m.list, i, i+1)
		case item.kind != mavenList:
			return
		}
	}
}

func (m *mavenItem) empty() bool {
	switch m.kind {
	case mavenNumber:
		return strings.Trim(m.text, "0") == ""
	case mavenWord:
		return m.text == ""
	default:
		return len(m.list) == 0
	}
}

func (m *mavenItem) compare(o *mavenItem) int {
	switch {
	case m == nil && o == nil:
		return 0
	case m == nil:
		return -o.compareNothing()
	case o == nil:
		return m.compareNothing()
	case m.kind != o.kind:
		return sign(int(m.kind) - int(o.kind))
	case m.kind == mavenNumber:
		return compareNumbers(m.text, o.text)
	case m.kind == mavenWord:
		return compareMavenWords(m.text, o.text)
	}
	at := func(l []*mavenItem, i int) *mavenItem {
		if i < len(l) {
			return l[i]
		}
		return nil
	}
	for i := range max(len(m.list), len(o.list)) {
		if c := at(m.list, i).compare(at(o.list, i)); c != 0 {
			return c
		}
	}
	return 0
}

func (m *mavenItem) compareNothing() int {
	switch m.kind {
	case mavenNumber:
		return compareNumbers(m.text, "")
	case mavenWord:
		return compareMavenWords(m.text, "")
	}
	for _, item := range m.list {
		if c := item.compareNothing(); c != 0 {
			return c
		}
	}
	return 0
}

// compareMavenWords orders known words by their rank, and others behind them by
// their text.
func compareMavenWords(a, b string) int {
	ra, rb := mavenRank(a), mavenRank(b)
	if ra == rb && ra == len(mavenWords) {
		return strings.Compare(a, b)
	}
	return sign(ra - rb)
}

func mavenRank(s string) int {
	if i := slices.Index(mavenWords[:], s); i >= 0 {
		return i
	}
	return len(mavenWords)
}

var mavenWords = [...]string{"alpha", "beta", "milestone", "rc", "snapshot", "", "sp"}
