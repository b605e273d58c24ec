package report

import "testing"

func TestValidPath(t *testing.T) {
	for p, want := range map[string]string{
		"/usr/lib": "/usr/lib", "/é/ü": "/é/ü", "/caf\xe9/x": `/caf\xe9/x`, "/\xff\xfe": `/\xff\xfe`, "/\ufffd": "/\ufffd", "": "",
	} {
		if got := ValidPath(p); got != want {
			t.Errorf("%q: got %q, want %q", p, got, want)
		}
		if PathHash(p) != PathHash(want) {
			t.Errorf("%q: the hash changes", p)
		}
	}
	if PathHash("/caf\xe9") == PathHash("/caf\xe8") {
		t.Error("two paths, one hash")
	}
	// The hash is part of kept reports.
	if got := PathHash("/usr/bin/node"); got != 0x90083a722fe6d587 {
		t.Errorf("got %#x", got)
	}
}
