package binary

import (
	"regexp"
	"strings"
	"sync"
)

// A program is one row of the table.
type program struct {
	// files are the names under which the program is met, without what
	// stem cuts off: numbers at the end, ".exe", ".so" and what follows.
	files []string
	// text is set for scripts and text files, which are searched whole.
	text bool
	// goes is the name of the package if the program is written in Go, and
	// has no evidence (see golang.go).
	goes string
	// evidence, the strongest first.
	evidence []evidence
}

// evidence is one form in which a file tells what it is.
type evidence struct {
	// name of the package that is found.
	name string
	// literal is searched for. pattern must match around it, and its first
	// group is the version.
	literal string
	pattern func() *regexp.Regexp
	// alone is set where the form is so plain that a second version of it
	// elsewhere in the file must spoil the answer. Without it the first
	// match ends the search.
	alone bool
	// also has to stand somewhere in the file too.
	also string
	// named is set where the version has to continue the number in the
	// file's name: 3.11.2 in python3.11.
	named bool
}

// form makes the pattern of an evidence, compiled when it is first needed. In a
// pattern, <V> stands for a version of three numbers, <W> for one of two or
// three, <V4> of four, <P> for one of Python.
func form(s string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp {
		s := strings.NewReplacer(
			"<V>", `(\d{1,4}\.\d{1,4}\.\d{1,4})`,
			"<W>", `(\d{1,4}\.\d{1,4}(?:\.\d{1,4})?)`,
			"<P>", `([23]\.\d{1,2}\.\d{1,2}(?:(?:a|b|rc)\d{1,2})?)`,
			"<V4>", `(\d{1,4}\.\d{1,4}\.\d{1,4}\.\d{1,4})`,
		).Replace(s)
		return regexp.MustCompile("(?s)" + s)
	})
}

// byFile finds programs by the stems of their files. It is made when the first
// file is looked at.
var byFile = sync.OnceValue(func() map[string]*program {
	m := make(map[string]*program, 4*len(programs)+len(goPrograms))
	for f, name := range goPrograms {
		m[f] = &program{files: []string{f}, goes: name}
	}
	for i := range programs {
		for _, f := range programs[i].files {
			m[f] = &programs[i]
		}
	}
	return m
})

// programOf is the program that a file called base may be, or nil.
func programOf(base string) *program { return byFile()[stem(base)] }

// stem is base without what differs between versions of a program: "python3.11"
// is "python", "libpython3.7m.so.1.0" is "libpython", "ld-musl-x86_64.so.1" is
// "ld-musl". It allocates nothing.
func stem(base string) string {
	base = strings.TrimSuffix(base, ".exe")
	i := strings.Index(base, ".so")
	if i < 0 {
		return trimNumber(base)
	}
	if strings.Trim(base[i+len(".so"):], ".0123456789") != "" {
		return "" // no library: x.so.gz, x.sock, x.source
	}
	if base = base[:i]; !strings.HasPrefix(base, "lib") && !strings.HasPrefix(base, "ld-musl") {
		return "" // a module of something: openssl.so is Ruby's
	}
	if strings.HasPrefix(base, "libpypy") {
		return "libpypy" // libpypy3.9-c.so
	}
	for _, s := range [...]string{"ld-musl", "libMagickCore"} {
		if strings.HasPrefix(base, s) && len(base) > len(s) && base[len(s)] == '-' {
			return s // of a machine, or of a size of colours
		}
	}
	// A hash, which Rust gives its libraries and auditwheel those of a wheel.
	for _, n := range [...]int{8, 16} {
		if at := len(base) - n - 1; at > 0 && base[at] == '-' && strings.Trim(base[at+1:], "0123456789abcdef") == "" {
			return trimNumber(base[:at])
		}
	}
	if n := len(base) - 1; n > 0 && strings.IndexByte("dmu", base[n]) >= 0 && isDigit(base[n-1]) {
		base = base[:n] // the build flags of Python 2.7 to 3.7
	}
	return trimNumber(base)
}

func trimNumber(s string) string {
	return strings.TrimSuffix(strings.TrimRight(s, ".0123456789"), "-")
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

// number is the number in the name of a file that stem cuts off: "3.11" of
// "libpython3.11.so.1.0". It may be empty.
func number(base string) string {
	base, _, _ = strings.Cut(strings.TrimSuffix(base, ".exe"), ".so")
	base = strings.TrimRight(base, "dmu")
	return strings.TrimLeft(base[len(strings.TrimRight(base, ".0123456789")):], ".")
}

// continues reports whether version is number or begins with it and a dot.
func continues(version, number string) bool {
	rest, ok := strings.CutPrefix(version, number)
	return ok && (rest == "" || rest[0] == '.')
}
