package advisory

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	bolt "go.etcd.io/bbolt"

	"github.com/onceover/onceover/internal/fault"
)

// one builds a small generation and returns its path.
func one(t testing.TB, ids ...string) string {
	t.Helper()
	dir := t.TempDir()
	var rs [][2]string
	for _, id := range ids {
		rs = append(rs, [2]string{id + ".json", simple(id, "npm", "a", "")})
	}
	writeZip(t, filepath.Join(dir, "a.zip"), rs...)
	to := filepath.Join(dir, "a.db")
	if _, err := Build(context.Background(), BuildOptions{From: dir, To: to}); err != nil {
		t.Fatal(err)
	}
	return to
}

func TestOpenRefuses(t *testing.T) {
	good, err := os.ReadFile(one(t, "A-1"))
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	other := filepath.Join(dir, "other")
	b, err := bolt.Open(other, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	otherBytes, err := os.ReadFile(other)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name    string
		content []byte
		code    fault.Code
		says    string
	}{
		{"missing", nil, fault.NotFound, "onceover db update"},
		{"text", []byte(strings.Repeat("hello ", 9000)), fault.Unavailable, "onceover db"},
		{"empty", []byte{}, fault.Unavailable, "onceover db"},
		{"cut short", good[:len(good)/2], fault.Unavailable, "damaged"},
		{"another program's database", otherBytes, fault.Unavailable, "not an advisory database"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "a.db")
			if tc.content != nil {
				if err := os.WriteFile(path, tc.content, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			db, err := Open(path)
			if err == nil {
				db.Close()
			}
			if fault.CodeOf(err) != tc.code || err == nil || !strings.Contains(err.Error(), tc.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// A generation can be opened at any moment while larger and smaller ones take
// each other's place.
func TestOpenWhileReplaced(t *testing.T) {
	var ids []string
	for i := range 200 {
		ids = append(ids, fmt.Sprint("A-", i))
	}
	sources := []string{one(t, "A-1"), one(t, ids...)}
	path := filepath.Join(t.TempDir(), "a.db")
	next := func(i int) {
		tmp := path + ".new"
		if err := os.Link(sources[i%2], tmp); err != nil {
			t.Error(err)
			return
		}
		if err := os.Rename(tmp, path); err != nil {
			t.Error(err)
		}
	}
	next(0)
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for i := 1; ; i++ {
			select {
			case <-done:
				return
			default:
				next(i)
			}
		}
	})
	for range 1000 {
		if _, err := Status(path); err != nil {
			t.Error(err)
			break
		}
	}
	close(done)
	wg.Wait()
}

func TestOpenRefusesAnotherSchema(t *testing.T) {
	path := one(t, "A-1")
	b, err := bolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = b.Update(func(tx *bolt.Tx) error {
		raw, err := json.Marshal(Meta{Schema: Schema + 1})
		if err != nil {
			return err
		}
		return tx.Bucket(bucketMeta).Put(metaKey, raw)
	})
	if err != nil {
		t.Fatal(err)
	}
	b.Close()
	if _, err := Open(path); fault.CodeOf(err) != fault.Unavailable || !strings.Contains(err.Error(), fmt.Sprintf("schema %d, this program reads %d", Schema+1, Schema)) {
		t.Errorf("got %v", err)
	}
}

// Every byte that is changed is either found by Verify or lies outside of the
// content; none brings the program down.
func TestDamageIsFound(t *testing.T) {
	if raceDetector {
		t.Skip("bbolt takes lengths from the file, which the pointer checks of the race detector end the process for; faults are caught without it")
	}
	path := one(t, "A-1", "A-2", "A-3")
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	found := 0
	for i := 0; i < len(good); i += 37 {
		bad := append([]byte(nil), good...)
		bad[i] ^= 0xff
		p := filepath.Join(t.TempDir(), "a.db")
		if err := os.WriteFile(p, bad, 0o600); err != nil {
			t.Fatal(err)
		}
		db, err := Open(p)
		if err != nil {
			found++
			continue
		}
		if err := db.Verify(context.Background()); err != nil {
			found++
		}
		db.Affected("npm", "a")
		db.Vuln("A-2")
		db.Close()
	}
	if found == 0 {
		t.Error("no damage was found")
	}
	i := strings.Index(string(good), "A-2")
	bad := append([]byte(nil), good...)
	bad[i] = 'B'
	p := filepath.Join(t.TempDir(), "a.db")
	if err := os.WriteFile(p, bad, 0o600); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "to.db")
	if _, err := Import(context.Background(), ImportOptions{File: p, To: to}); !errors.Is(err, errCorrupt) {
		t.Errorf("import of a damaged file: %v", err)
	}
	if _, err := os.Stat(to); !errors.Is(err, os.ErrNotExist) {
		t.Error("a damaged file was imported")
	}
}

func TestImport(t *testing.T) {
	from, to := one(t, "A-1"), filepath.Join(t.TempDir(), "sub", "a.db")
	want, err := Status(from)
	if err != nil {
		t.Fatal(err)
	}
	res, err := Import(context.Background(), ImportOptions{File: from, To: to})
	if err != nil || res.Meta.ID != want.ID {
		t.Fatalf("got %+v, %v", res, err)
	}
	got, err := Status(to)
	if err != nil || got.ID != want.ID || !got.Built.Equal(want.Built) {
		t.Errorf("got %+v, %v", got, err)
	}
	left, err := filepath.Glob(filepath.Join(filepath.Dir(to), ".*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestHolder(t *testing.T) {
	open := func(id string) *DB {
		db, err := Open(one(t, id))
		if err != nil {
			t.Fatal(err)
		}
		return db
	}
	var h Holder
	if db, release := h.Acquire(); db != nil {
		t.Error("an empty holder holds something")
	} else {
		release()
	}
	first, second := open("A-1"), open("A-2")
	h.Swap(first)
	db, release := h.Acquire()
	if db != first {
		t.Fatal("not the generation that was swapped in")
	}
	h.Swap(second)
	if as, err := db.Affected("npm", "a"); err != nil || len(as) != 1 || as[0].ID != "A-1" {
		t.Errorf("a generation in use was closed: %v, %v", as, err)
	}
	release()
	release() // harmless
	if _, err := db.Affected("npm", "a"); err == nil {
		t.Error("a replaced generation stayed open")
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				db, release := h.Acquire()
				if as, err := db.Affected("npm", "a"); err != nil || len(as) != 1 {
					t.Errorf("got %v, %v", as, err)
				}
				release()
			}
		})
	}
	for range 20 {
		h.Swap(open("A-3"))
	}
	wg.Wait()
	h.Swap(nil)
	if db, _ := h.Acquire(); db != nil {
		t.Error("not empty")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(string(encodeVuln(Vuln{ID: "A", CVEs: []string{"CVE-2026-1000"}, Score: 9.8})))
	var e encoder
	e.affected(Affected{ID: "A", Ranges: []Range{{Introduced: "0"}}, Versions: []string{"1"}})
	f.Add(string(e))
	f.Fuzz(func(t *testing.T, s string) {
		decodeVuln("A", s)
		decodeCVE("A", s)
		d := decoder{s: s}
		d.affected(new(Affected))
	})
}

func FuzzRecord(f *testing.F) {
	f.Add([]byte(simple("A-1", "npm", "a", `"severity":[{"type":"CVSS_V3","score":"CVSS:3.1/AV:N/AC:L/PR:N/UI:N/S:U/C:H/I:H/A:H"}],`)))
	f.Add([]byte(simple("ALSA-2026:1", "AlmaLinux:8", "a", `"summary":"Low: a:1 security update","related":["CVE-2026-1000"],`)))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseRecord(b)
		if err != nil {
			return
		}
		v := r.vuln()
		if got, err := decodeVuln(v.ID, string(encodeVuln(v))); err != nil || got.Summary != v.Summary || got.Vector != v.Vector {
			t.Fatalf("lost on the way: %+v, %v", got, err)
		}
		r.packages(func(string) {})
	})
}

// Many read at once, until the generation is closed under them: each answer is
// right or an error.
func TestReadWhileClosed(t *testing.T) {
	dir := t.TempDir()
	const packages = 200
	var records [][2]string
	for i := range packages {
		id := fmt.Sprintf("A-%d", i)
		records = append(records, [2]string{id + ".json", simple(id, "npm", fmt.Sprint("p", i), "")})
	}
	writeZip(t, filepath.Join(dir, "npm.zip"), records...)
	built, _, _ := build(t, dir)
	db, err := Open(built.bolt.Path())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var read atomic.Int64
	began := make(chan struct{}, 8)
	const readers = 4
	for range readers {
		wg.Go(func() {
			defer func() { began <- struct{}{} }()
			for i := 0; ; i++ {
				id := fmt.Sprintf("A-%d", i%packages)
				as, err := db.Affected("npm", fmt.Sprint("p", i%packages))
				if err == nil && (len(as) != 1 || as[0].ID != id || len(as[0].Ranges) != 1) {
					t.Errorf("%s: got %+v", id, as)
				}
				if err == nil {
					var v *Vuln
					if v, err = db.Vuln(id); err == nil && (v == nil || v.ID != id) {
						t.Errorf("%s: got %+v", id, v)
					}
				}
				if err != nil {
					return // closed
				}
				read.Add(1)
				if i == packages {
					began <- struct{}{}
				}
			}
		})
	}
	for range readers {
		<-began
	}
	if err := db.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if _, err := db.CVE("CVE-2026-1000"); err == nil {
		t.Error("a closed generation answers")
	}
	t.Logf("%d reads", read.Load())
}
