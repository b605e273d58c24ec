package report

import "testing"

func TestPURL(t *testing.T) {
	debian := Distro{ID: "debian", VersionID: "12"}
	for _, tc := range []struct {
		name string
		p    Package
		d    Distro
		want string
	}{
		{"deb", Package{Type: TypeDeb, Name: "libc6", Version: "2.36-9+deb12u4", Arch: "amd64", Source: "glibc"}, debian,
			"pkg:deb/debian/libc6@2.36-9%2Bdeb12u4?arch=amd64&distro=debian-12&upstream=glibc"},
		{"deb with epoch and other source version", Package{Type: TypeDeb, Name: "a", Version: "1:2", Source: "b", SourceVersion: "3"}, debian,
			"pkg:deb/debian/a@1:2?distro=debian-12&upstream=b%403"},
		{"rpm epoch", Package{Type: TypeRPM, Name: "bash", Version: "1:5.1-2.el9", Arch: "x86_64"}, Distro{ID: "almalinux", VersionID: "9.4"},
			"pkg:rpm/almalinux/bash@5.1-2.el9?arch=x86_64&distro=almalinux-9.4&epoch=1"},
		{"apk", Package{Type: TypeAPK, Name: "musl", Version: "1.2.4-r2", Arch: "x86_64"}, Distro{ID: "alpine", VersionID: "3.18.9"},
			"pkg:apk/alpine/musl@1.2.4-r2?arch=x86_64&distro=alpine-3.18.9"},
		{"go", Package{Type: TypeGo, Name: "golang.org/x/net", Version: "v0.1.0"}, debian, "pkg:golang/golang.org/x/net@v0.1.0"},
		{"npm scope", Package{Type: TypeNPM, Name: "@babel/core", Version: "7.0.0"}, debian, "pkg:npm/%40babel/core@7.0.0"},
		{"java", Package{Type: TypeJava, Name: "org.yaml:snakeyaml", Version: "1.30"}, debian, "pkg:maven/org.yaml/snakeyaml@1.30"},
		{"python", Package{Type: TypePython, Name: "requests", Version: "2.28.1"}, debian, "pkg:pypi/requests@2.28.1"},
		{"no distribution", Package{Type: TypeDeb, Name: "a", Version: "1"}, Distro{}, "pkg:deb/a@1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if got := PURL(tc.p, tc.d); got != tc.want {
				t.Errorf("\ngot  %s\nwant %s", got, tc.want)
			}
		})
	}
}
