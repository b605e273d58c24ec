package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == helperArg {
		if err := helper(os.Args[2:]); err != nil {
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// TestMeasure measures a program whose cost is known.
func TestMeasure(t *testing.T) {
	const size = 8 << 20
	in := filepath.Join(t.TempDir(), "in")
	if err := os.WriteFile(in, make([]byte, size), 0o644); err != nil {
		t.Fatal(err)
	}
	c, err := measure([]string{"IN=" + in}, "/bin/sh", "-c", `cat "$IN" > "$IN.copy"; sleep 0.1`)
	if err != nil {
		t.Fatal(err)
	}
	if c.Read < size || c.Read > size+size/4 || c.Written < size || c.Written > size+size/4 {
		t.Errorf("%d bytes copied by a child: counted %d read, %d written", size, c.Read, c.Written)
	}
	if c.Wall < 100*time.Millisecond {
		t.Errorf("wall is %v for a program that sleeps for 0.1 s", c.Wall)
	}
	if c.Peak <= 0 || c.Peak > 100<<20 {
		t.Errorf("peak of a shell is %d bytes", c.Peak)
	}
	c, err = measure(nil, "/bin/sh", "-c", "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done")
	if err != nil {
		t.Fatal(err)
	}
	if c.CPU < 10*time.Millisecond || c.CPU > c.Wall*3/2 {
		t.Errorf("a busy loop took %v of CPU in %v", c.CPU, c.Wall)
	}
}

func TestMeasureFailure(t *testing.T) {
	if _, err := measure(nil, "/bin/false"); err == nil {
		t.Error("a program that failed was measured")
	}
}

func TestProcessCPU(t *testing.T) {
	before, err := processCPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	for end := time.Now().Add(200 * time.Millisecond); time.Now().Before(end); {
	}
	after, err := processCPU(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	if d := after - before; d <= 0 || d > 5*time.Second {
		t.Errorf("a busy loop of 0.2 s counted as %v", d)
	}
}

func TestMedianAndTable(t *testing.T) {
	of := func(seconds ...int) row {
		var r row
		for _, s := range seconds {
			r.costs = append(r.costs, cost{CPU: time.Duration(s) * time.Second, Peak: int64(s) * 1e6})
		}
		return r
	}
	for _, tc := range []struct {
		row  row
		want time.Duration
	}{{of(9, 1, 2), 2 * time.Second}, {of(4, 2), 3 * time.Second}, {of(7), 7 * time.Second}} {
		if got := tc.row.median().CPU; got != tc.want {
			t.Errorf("got %v, want %v", got, tc.want)
		}
	}
	a, b := of(2), of(6)
	a.name, b.name = "onceover", "other"
	var out bytes.Buffer
	if err := print(&out, target{title: "image"}, settings{rounds: 1}, []row{a, b}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "6.00") || !strings.Contains(out.String(), "(3.0)") {
		t.Errorf("no figure or ratio in:\n%s", out.String())
	}
}
