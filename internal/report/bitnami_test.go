package report

import "testing"

func TestBitnamiOwners(t *testing.T) {
	const list = "/opt/bitnami/.bitnami_components.json"
	l := &LayerReport{DiffID: "1", Complete: true, Packages: []Package{
		{Type: TypeBitnami, Name: "nginx", Version: "1.25.3-0", Path: list},
		{Type: TypeGeneric, Name: "nginx", Version: "1.25.3", Path: "/opt/bitnami/nginx/sbin/nginx"},
		{Type: TypeGeneric, Name: "python", Version: "3.11.1", Path: "/opt/bitnami/python/bin/python3"},
		{Type: TypeGeneric, Name: "bash", Version: "5.2", Path: "/opt/bitnami/bash"},
		{Type: TypeGeneric, Name: "redis", Version: "7", Path: "/srv/opt/bitnami/nginx/redis"},
		{Type: TypeJava, Name: "a:b", Version: "1", Path: "/opt/bitnami/nginx/b.jar"},
	}}
	owned := 0
	for _, p := range Merge([]*LayerReport{l}).Packages {
		want := ""
		if p.Path == "/opt/bitnami/nginx/sbin/nginx" {
			want = "bitnami:nginx"
			owned++
		}
		if p.OwnedBy != want {
			t.Errorf("%s: owned by %q, want %q", p.Path, p.OwnedBy, want)
		}
	}
	if owned != 1 {
		t.Errorf("%d owned", owned)
	}
}
