package image

import (
	"strings"
	"testing"
)

func FuzzParseConfig(f *testing.F) {
	id := string(DigestOf([]byte("layer")))
	f.Add([]byte(`{"os":"linux","architecture":"arm64","variant":"v8","created":"2026-01-02T03:04:05+02:00","config":{"Env":["A=b"],"User":"1","Labels":{"a":"b"}},` +
		`"rootfs":{"diff_ids":["` + id + `"]},"history":[{"created_by":"COPY a b"},{"created_by":"ENV c","empty_layer":true}]}`))
	f.Add([]byte(`{"rootfs":{"diff_ids":["sha256:../../etc"]}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := ParseConfig(b)
		if err != nil {
			return
		}
		for _, d := range c.DiffIDs {
			// A diff ID becomes a part of paths.
			if len(d.Hex()) != 64 || strings.Trim(d.Hex(), "0123456789abcdef") != "" {
				t.Errorf("diff ID %q", d)
			}
		}
		if n := len(c.BuildCommands()); n != len(c.DiffIDs) {
			t.Errorf("%d build commands of %d layers", n, len(c.DiffIDs))
		}
	})
}
