package storage

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"time"

	bolt "go.etcd.io/bbolt"
	"golang.org/x/sys/unix"
	_ "modernc.org/sqlite" // podman's newer records

	"github.com/onceover/onceover/internal/fault"
)

// maxDatabaseBytes bounds podman's records: 5,000 containers take about
// 150 MiB, of which most are system call lists.
const maxDatabaseBytes = 256 << 20

// podmanState is what podman's own records say of a graph root.
type podmanState struct {
	runRoot    string
	containers map[string]known
}

// podmanRecords reads them, the newer form first. What cannot be read is as if
// it were not there: the library's records have names and images, only
// commands and pods are less well known then.
func podmanRecords(ctx context.Context, root string) podmanState {
	dir := filepath.Join(root, "libpod")
	for _, candidate := range []struct {
		path string
		read func(context.Context, []byte) (podmanState, error)
	}{
		{filepath.Join(root, "db.sql"), readSQL},
		{filepath.Join(dir, "db.sql"), readSQL},
		{filepath.Join(dir, "bolt_state.db"), readBolt},
	} {
		for range readAttempts {
			b, err := stable(candidate.path)
			if err != nil {
				break
			}
			if st, err := candidate.read(ctx, b); err == nil {
				return st
			}
			time.Sleep(readPause)
		}
	}
	return podmanState{}
}

// stable reads a database that did not change meanwhile. podman changes it
// under locks that we do not take.
func stable(path string) ([]byte, error) {
	for range readAttempts {
		before, err := os.Lstat(path)
		if err != nil {
			return nil, err
		}
		b, err := readFile(path, maxDatabaseBytes, nil)
		if err != nil {
			return nil, err
		}
		after, err := os.Lstat(path)
		if err != nil {
			return nil, err
		}
		_, journal := os.Lstat(path + "-journal") // a transaction is under way
		if journal != nil && before.ModTime().Equal(after.ModTime()) && before.Size() == after.Size() && after.Size() == int64(len(b)) {
			return b, nil
		}
		time.Sleep(readPause)
	}
	return nil, fault.New(fault.Unavailable, "%s changes faster than it can be read", path)
}

// containerConfig is the part of podman's record of a container that we use.
type containerConfig struct {
	Spec struct {
		Process struct{ Args []string }
	} `json:"spec"`
	Pod    string            `json:"pod"`
	Labels map[string]string `json:"labels"`
}

func (c containerConfig) known(pods map[string]string) known {
	return known{
		command: strings.Join(c.Spec.Process.Args, " "),
		podID:   c.Pod,
		podName: pods[c.Pod],
		labels:  c.Labels,
	}
}

// readBolt reads bolt_state.db, podman's records until version 5: buckets
// "ctr" and "pod" with one bucket for each, "runtime-config" (podman,
// libpod/boltdb_state_internal.go).
func readBolt(_ context.Context, b []byte) (st podmanState, err error) {
	// bbolt panics on pages that make no sense, and follows page numbers out
	// of the file.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			err = fault.New(fault.Invalid, "damaged database: %v", p)
		}
	}()
	mem, err := memoryFile(b)
	if err != nil {
		return st, err
	}
	db, err := bolt.Open(mem.Name(), 0, &bolt.Options{
		ReadOnly: true,
		OpenFile: func(string, int, os.FileMode) (*os.File, error) { return mem, nil },
	})
	if err != nil {
		mem.Close()
		return st, err
	}
	defer db.Close()
	st.containers = map[string]known{}
	return st, db.View(func(tx *bolt.Tx) error {
		if c := tx.Bucket([]byte("runtime-config")); c != nil {
			st.runRoot = string(c.Get([]byte("run-root")))
		}
		pods := map[string]string{}
		each(tx, "pod", func(id string, b *bolt.Bucket) {
			var pod struct{ Name string }
			if json.Unmarshal(b.Get([]byte("config")), &pod) == nil {
				pods[id] = pod.Name
			}
		})
		each(tx, "ctr", func(id string, b *bolt.Bucket) {
			var cfg containerConfig
			var state struct{ RunDir string }
			if json.Unmarshal(b.Get([]byte("config")), &cfg) != nil {
				return
			}
			cfg.Pod = string(b.Get([]byte("pod-id")))
			k := cfg.known(pods)
			if json.Unmarshal(b.Get([]byte("state")), &state) == nil {
				k.runDir = state.RunDir
			}
			st.containers[id] = k
		})
		return nil
	})
}

// each calls f with every bucket in a bucket.
func each(tx *bolt.Tx, name string, f func(id string, b *bolt.Bucket)) {
	all := tx.Bucket([]byte(name))
	if all == nil {
		return
	}
	// The only errors are those of the function given.
	_ = all.ForEachBucket(func(k []byte) error {
		f(string(k), all.Bucket(k))
		return nil
	})
}

// memoryFile is an anonymous file: bbolt wants one to map, and nothing may be
// written to disk.
func memoryFile(b []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate("podman", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), "copy of podman's records")
	if _, err := f.Write(b); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// Queries for db.sql, podman's records since version 4.8 (podman,
// libpod/sqlite_state_internal.go).
const (
	queryRunRoot    = `SELECT RunRoot FROM DBConfig LIMIT 1`
	queryPods       = `SELECT ID, Name FROM PodConfig`
	queryContainers = `SELECT c.ID, c.JSON, COALESCE(s.JSON, '{}') FROM ContainerConfig c LEFT JOIN ContainerState s ON s.ID = c.ID`
)

// readSQL reads a copy in memory. podman uses a rollback journal, so that the
// file is whole where no journal lies beside it.
func readSQL(ctx context.Context, b []byte) (podmanState, error) {
	st := podmanState{containers: map[string]known{}}
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return st, err
	}
	defer db.Close()
	conn, err := db.Conn(ctx)
	if err != nil {
		return st, err
	}
	defer conn.Close()
	if err := conn.Raw(func(c any) error {
		d, ok := c.(interface{ Deserialize([]byte) error })
		if !ok {
			return driver.ErrSkip
		}
		return d.Deserialize(b)
	}); err != nil {
		return st, fmt.Errorf("open podman's records: %w", err)
	}
	if err := conn.QueryRowContext(ctx, queryRunRoot).Scan(&st.runRoot); err != nil {
		return st, fmt.Errorf("read podman's records: %w", err)
	}
	pods := map[string]string{}
	if err := rows(ctx, conn, queryPods, func(scan func(...any) error) error {
		var id, name string
		err := scan(&id, &name)
		pods[id] = name
		return err
	}); err != nil {
		return st, err
	}
	return st, rows(ctx, conn, queryContainers, func(scan func(...any) error) error {
		var id, config, state string
		if err := scan(&id, &config, &state); err != nil {
			return err
		}
		var cfg containerConfig
		if json.Unmarshal([]byte(config), &cfg) != nil {
			return nil
		}
		k := cfg.known(pods)
		var s struct{ RunDir string }
		if json.Unmarshal([]byte(state), &s) == nil {
			k.runDir = s.RunDir
		}
		st.containers[id] = k
		return nil
	})
}

func rows(ctx context.Context, conn *sql.Conn, query string, each func(scan func(...any) error) error) error {
	r, err := conn.QueryContext(ctx, query)
	if err != nil {
		return fmt.Errorf("read podman's records: %w", err)
	}
	defer r.Close()
	for r.Next() {
		if err := each(r.Scan); err != nil {
			return fmt.Errorf("read podman's records: %w", err)
		}
	}
	return r.Err()
}
