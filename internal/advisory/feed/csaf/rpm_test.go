package csaf

import "testing"

func TestSplitRPM(t *testing.T) {
	tests := []struct{ in, name, version, arch string }{
		{"vim-9.0-33.oe2203sp3.src.rpm", "vim", "9.0-33.oe2203sp3", "src"},
		{"glibc-0:2.34-60.el9_2.7.x86_64", "glibc", "2.34-60.el9_2.7", "x86_64"},
		{"podman-3:4.4.1-19.el9.aarch64", "podman", "3:4.4.1-19.el9", "aarch64"},
		{"java-1_8_0-openjdk-1.8.0.201-3.16.1.x86_64", "java-1_8_0-openjdk", "1.8.0.201-3.16.1", "x86_64"},
		{"tar", "", "", ""},
		{"java-1.8.0-openjdk", "", "", ""},
		{"python3.11", "", "", ""},
		{"-1-2.x", "", "", ""},
		{"a--2.x", "", "", ""},
		{"a-1-.x", "", "", ""},
		{"", "", "", ""},
	}
	for _, tt := range tests {
		name, version, arch, ok := SplitRPM(tt.in)
		if name != tt.name || version != tt.version || arch != tt.arch || ok != (tt.name != "") {
			t.Errorf("%q: %q %q %q %v", tt.in, name, version, arch, ok)
		}
	}
}

func TestFileName(t *testing.T) {
	for in, want := range map[string]string{"a/b.json": "b.json", "a.tar!b.json": "b.json", "a.tar!c/b.json": "b.json", "b.json": "b.json"} {
		if got := FileName(in); got != want {
			t.Errorf("%s: %s, want %s", in, got, want)
		}
	}
}
