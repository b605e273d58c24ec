package advisory

import (
	"bufio"
	"bytes"
	"cmp"
	"container/heap"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// maxSpoolValue is the largest value a spool takes, a guard against damage of
// its own files.
const maxSpoolValue = 64 << 20

// A spool sorts more keyed values than fit into memory: it keeps up to limit
// bytes, writes them out as a sorted run, and merges the runs at the end. Add
// is safe for concurrent use; the order in which values are added does not
// matter.
type spool struct {
	dir   string
	limit int

	mu    sync.Mutex
	items []item
	size  int
	runs  []string
}

type item struct{ key, value []byte }

func (a item) compare(b item) int {
	return cmp.Or(bytes.Compare(a.key, b.key), bytes.Compare(a.value, b.value))
}

func newSpool(dir string, limit int) *spool { return &spool{dir: dir, limit: limit} }

func (s *spool) add(key, value []byte) error {
	if len(value) > maxSpoolValue {
		return fmt.Errorf("value of %d bytes: %w", len(value), errLimit)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.items = append(s.items, item{key, value})
	s.size += len(key) + len(value) + 64
	if s.size < s.limit {
		return nil
	}
	return s.flush()
}

func (s *spool) flush() (err error) {
	slices.SortFunc(s.items, item.compare)
	name := filepath.Join(s.dir, fmt.Sprintf("run-%06d", len(s.runs)))
	f, err := os.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("write sorted run: %w", err)
	}
	defer func() {
		if e := f.Close(); e != nil && err == nil {
			err = fmt.Errorf("write sorted run: %w", e)
		}
	}()
	w := bufio.NewWriterSize(f, 1<<18)
	var head []byte
	for _, it := range s.items {
		head = binary.AppendUvarint(head[:0], uint64(len(it.key)))
		head = binary.AppendUvarint(head, uint64(len(it.value)))
		for _, b := range [][]byte{head, it.key, it.value} {
			if _, err := w.Write(b); err != nil {
				return fmt.Errorf("write sorted run: %w", err)
			}
		}
	}
	if err := w.Flush(); err != nil {
		return fmt.Errorf("write sorted run: %w", err)
	}
	s.runs = append(s.runs, name)
	s.items, s.size = nil, 0
	return nil
}

// groups calls fn for every key in ascending order with all its values in
// ascending order. fn must not keep them.
func (s *spool) groups(fn func(key []byte, values [][]byte) error) error {
	slices.SortFunc(s.items, item.compare)
	var h runHeap
	defer func() {
		for _, r := range h {
			r.close()
		}
	}()
	for _, name := range s.runs {
		f, err := os.Open(name)
		if err != nil {
			return fmt.Errorf("read sorted run: %w", err)
		}
		r := &run{file: f, r: bufio.NewReaderSize(f, 1<<16)}
		h = append(h, r)
		if err := r.next(); err != nil {
			return err
		}
	}
	mem := &run{items: s.items}
	h = append(h, mem)
	if err := mem.next(); err != nil {
		return err
	}
	h = slices.DeleteFunc(h, func(r *run) bool { return r.done })
	heap.Init(&h)
	var key []byte
	var values [][]byte
	for len(h) > 0 {
		r := h[0]
		if values == nil || !bytes.Equal(key, r.cur.key) {
			if values != nil {
				if err := fn(key, values); err != nil {
					return err
				}
			}
			key, values = r.cur.key, nil
		}
		values = append(values, r.cur.value)
		if err := r.next(); err != nil {
			return err
		}
		if r.done {
			heap.Pop(&h).(*run).close()
		} else {
			heap.Fix(&h, 0)
		}
	}
	if values != nil {
		return fn(key, values)
	}
	return nil
}

// A run is one sorted sequence, from a file or from memory.
type run struct {
	file  *os.File
	r     *bufio.Reader
	items []item
	cur   item
	done  bool
}

func (r *run) close() {
	if r.file != nil {
		r.file.Close()
	}
}

func (r *run) next() error {
	if r.file == nil {
		if len(r.items) == 0 {
			r.done = true
			return nil
		}
		r.cur, r.items = r.items[0], r.items[1:]
		return nil
	}
	kn, err := binary.ReadUvarint(r.r)
	if errors.Is(err, io.EOF) {
		r.done = true
		return nil
	}
	if err != nil {
		return fmt.Errorf("read sorted run: %w", err)
	}
	vn, err := binary.ReadUvarint(r.r)
	if err != nil || kn > maxSpoolValue || vn > maxSpoolValue {
		return fmt.Errorf("read sorted run: %w", cmp.Or(err, errCorrupt))
	}
	b := make([]byte, kn+vn)
	if _, err := io.ReadFull(r.r, b); err != nil {
		return fmt.Errorf("read sorted run: %w", err)
	}
	r.cur = item{b[:kn], b[kn:]}
	return nil
}

type runHeap []*run

func (h runHeap) Len() int           { return len(h) }
func (h runHeap) Less(i, j int) bool { return h[i].cur.compare(h[j].cur) < 0 }
func (h runHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *runHeap) Push(x any)        { *h = append(*h, x.(*run)) }
func (h *runHeap) Pop() any {
	old := *h
	r := old[len(old)-1]
	*h = old[:len(old)-1]
	return r
}
