package main

import (
	"archive/zip"
	"bufio"
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"

	"github.com/klauspost/compress/zstd"
)

// copies is how many times each record stands in the larger set.
const copies = 10

// tenfold writes the OSV archives in from to the directory to, with every
// record ten times: once as it is, and nine times about packages and under ids
// that are each made from the real ones in the same way, so that what was one
// vulnerability of one package is ten of ten packages, joined by their aliases
// as before. Facts about CVEs are repeated alike.
func tenfold(ctx context.Context, from, to string) error {
	if err := os.MkdirAll(to, 0o755); err != nil {
		return err
	}
	archives, err := filepath.Glob(filepath.Join(from, "*.zip"))
	if err != nil {
		return err
	}
	for _, path := range archives {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := tenfoldArchive(path, filepath.Join(to, filepath.Base(path))); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
	}
	return tenfoldFacts(filepath.Join(from, "cve-enrich.jsonl.zst"), filepath.Join(to, "cve-enrich.jsonl.zst"))
}

func tenfoldArchive(from, to string) (err error) {
	z, err := zip.OpenReader(from)
	if err != nil {
		return err
	}
	defer z.Close()
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	b := bufio.NewWriterSize(f, 1<<20)
	w := zip.NewWriter(b)
	// One writer for all records: each takes a megabyte, and only one is open
	// at a time.
	packer, err := flate.NewWriter(nil, flate.BestSpeed)
	if err != nil {
		return err
	}
	w.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { packer.Reset(w); return packer, nil })
	for _, e := range z.File {
		rc, err := e.Open()
		if err != nil {
			return err
		}
		raw, err := io.ReadAll(rc)
		rc.Close()
		if err != nil {
			return err
		}
		var r map[string]json.RawMessage
		if err := json.Unmarshal(raw, &r); err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
		var affected []map[string]json.RawMessage
		if a := r["affected"]; a != nil {
			if err := json.Unmarshal(a, &affected); err != nil {
				return fmt.Errorf("%s: %w", e.Name, err)
			}
		}
		other, err := renamed(r, affected)
		if err != nil {
			return fmt.Errorf("%s: %w", e.Name, err)
		}
		for n := range copies {
			if n > 0 {
				raw = bytes.ReplaceAll(other, []byte(number), []byte(strconv.Itoa(n)))
			}
			out, err := w.Create(strconv.Itoa(n) + "-" + e.Name)
			if err != nil {
				return err
			}
			if _, err := out.Write(raw); err != nil {
				return err
			}
		}
	}
	return errors.Join(w.Close(), b.Flush())
}

// number stands for the number of a copy.
const number = "@copy@"

// renamed is a copy of a record, with number in place of its number.
func renamed(r map[string]json.RawMessage, affected []map[string]json.RawMessage) ([]byte, error) {
	out := make(map[string]json.RawMessage, len(r))
	for k, v := range r {
		out[k] = v
	}
	id := func(raw json.RawMessage) (json.RawMessage, error) {
		var s string
		if err := json.Unmarshal(raw, &s); err != nil {
			return nil, err
		}
		return json.Marshal(otherID(s, number))
	}
	var err error
	if out["id"], err = id(r["id"]); err != nil {
		return nil, err
	}
	for _, k := range []string{"aliases", "upstream", "related"} {
		var ids []string
		if r[k] == nil {
			continue
		}
		if err := json.Unmarshal(r[k], &ids); err != nil {
			return nil, err
		}
		for i := range ids {
			ids[i] = otherID(ids[i], number)
		}
		if out[k], err = json.Marshal(ids); err != nil {
			return nil, err
		}
	}
	others := make([]map[string]json.RawMessage, len(affected))
	for i, a := range affected {
		var p struct {
			Ecosystem string `json:"ecosystem"`
			Name      string `json:"name"`
		}
		if a["package"] != nil {
			if err := json.Unmarshal(a["package"], &p); err != nil {
				return nil, err
			}
		}
		o := make(map[string]json.RawMessage, len(a))
		for k, v := range a {
			o[k] = v
		}
		p.Name = p.Name + "-x" + number
		if o["package"], err = json.Marshal(p); err != nil {
			return nil, err
		}
		others[i] = o
	}
	if len(affected) > 0 {
		if out["affected"], err = json.Marshal(others); err != nil {
			return nil, err
		}
	}
	return json.Marshal(out)
}

// otherID is another id of the same form: a digit more for ids that end in
// one, so that CVE ids stay CVE ids.
func otherID(id, n string) string {
	if c := id[max(0, len(id)-1):]; c >= "0" && c <= "9" {
		return id + n
	}
	return id + "-" + n
}

func tenfoldFacts(from, to string) (err error) {
	in, err := os.Open(from)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer in.Close()
	z, err := zstd.NewReader(in)
	if err != nil {
		return err
	}
	defer z.Close()
	f, err := os.Create(to)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w, err := zstd.NewWriter(f, zstd.WithEncoderLevel(zstd.SpeedFastest))
	if err != nil {
		return err
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<22)
	for lines.Scan() {
		var head struct{ ID string }
		if err := json.Unmarshal(lines.Bytes(), &head); err != nil {
			return err
		}
		old, err := json.Marshal(head.ID)
		if err != nil {
			return err
		}
		for n := range copies {
			line := lines.Bytes()
			if n > 0 {
				other, err := json.Marshal(otherID(head.ID, strconv.Itoa(n)))
				if err != nil {
					return err
				}
				line = bytes.Replace(line, old, other, 1)
			}
			if _, err := w.Write(append(line[:len(line):len(line)], '\n')); err != nil {
				return err
			}
		}
	}
	return errors.Join(lines.Err(), w.Close())
}
