package csaf

import "strings"

// SplitRPM takes the name of an rpm apart as it stands in ids and names of
// products: "vim-9.0-33.oe2203sp3.src.rpm", "glibc-0:2.34-60.el9.x86_64". The
// version is that of rpm, with its epoch if there is one other than 0. ok is
// false for anything else.
func SplitRPM(s string) (name, version, arch string, ok bool) {
	s = strings.TrimSuffix(s, ".rpm")
	dot := strings.LastIndexByte(s, '.')
	if dot < 0 {
		return "", "", "", false
	}
	s, arch = s[:dot], s[dot+1:]
	rel := strings.LastIndexByte(s, '-')
	if rel < 1 {
		return "", "", "", false
	}
	ver := strings.LastIndexByte(s[:rel], '-')
	if ver < 1 || ver+1 == rel || rel+1 == len(s) || arch == "" || strings.ContainsAny(arch, "-:/") {
		return "", "", "", false
	}
	return s[:ver], strings.TrimPrefix(s[ver+1:], "0:"), arch, true
}

// FileName is the last part of a feed.File's name, whether it stands in a
// directory or at the top of an archive.
func FileName(name string) string { return name[strings.LastIndexAny(name, "/!")+1:] }
