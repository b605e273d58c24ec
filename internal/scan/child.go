package scan

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/onceover/onceover/internal/analyze"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/layer"
	"github.com/onceover/onceover/internal/sandbox"
)

// job is what a child is to do: its first message, from the parent.
type job struct {
	DiffID string   `json:"diff_id"`
	Dir    string   `json:"dir,omitempty"`
	Lower  []string `json:"lower,omitempty"`
	// Blob says where the stream comes from.
	Blob *jobBlob `json:"blob,omitempty"`
	// Spool is set if there is a file for large contents.
	Spool bool `json:"spool,omitempty"`
	// Keys are those of the sets that look at the layer.
	Keys []string `json:"keys"`
	// Setup is Config.Setup.
	Setup  json.RawMessage `json:"setup,omitempty"`
	Memory int64           `json:"memory,omitempty"` // for one file of a stream
	Limits sandbox.Limits  `json:"limits"`
	Resume resume          `json:"resume,omitzero"`
}

// jobBlob is a part of the file that is descriptor fdBlob, or, with Pumped, a
// stream of chunks that comes through it.
type jobBlob struct {
	Off    int64 `json:"off,omitempty"`
	Size   int64 `json:"size,omitempty"`
	Pumped bool  `json:"pumped,omitempty"`
}

// Descriptors of a child.
const (
	fdIn = sandbox.FirstFile + iota
	fdOut
	fdBlob  // or nothing useful
	fdSpool // or nothing useful
	// FdAttached is what Isolation.Attach made, for a Maker to take.
	FdAttached
)

// Exit codes of a child.
const (
	exitOK = 0
	// exitFailed means that the child could not begin.
	exitFailed = 96
	// exitStuck means that an analyser did not heed the end of its time.
	exitStuck = 97
)

// maxJob is the size of a job: the paths of a layer's directories.
const maxJob = 4 << 20

// A Maker makes the set of a key in a child: that which the Scanner has. setup is
// Config.Setup. It is called before the child enters its sandbox, and so can
// read files of the operator; it must read nothing else.
type Maker func(key string, setup json.RawMessage) (*analyze.Set, error)

// Child does the work of a child that a Scanner with a sandbox started, and
// returns its exit code.
func Child(make Maker) int {
	in, out := os.NewFile(fdIn, "job"), os.NewFile(fdOut, "facts")
	if in == nil || out == nil {
		fmt.Fprintln(os.Stderr, "this argument is for the program's own use")
		return exitFailed
	}
	if err := serve(make, in, out); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return exitFailed
	}
	return exitOK
}

func serve(maker Maker, in io.Reader, out io.Writer) error {
	var j job
	if err := readJob(in, &j); err != nil {
		return err
	}
	var sets []*analyze.Set
	for _, key := range j.Keys {
		set, err := maker(key, j.Setup)
		if err != nil {
			return err
		}
		if set.Key() != key {
			return fmt.Errorf("the analysers of parent and child differ: %s and %s", key, set.Key())
		}
		sets = append(sets, set)
	}
	// From here on nothing may be believed.
	lacking, err := sandbox.Enter(sandbox.Policy{Dirs: j.dirs(), Limits: j.Limits})
	if err != nil {
		return err
	}
	send := newSender(out)
	if err := send.sendJSON(msgHello, hello{Lacking: lacking}); err != nil {
		return err
	}
	if err := send.flush(); err != nil {
		return err
	}
	watch := newWatchdog(processTime, func() { os.Exit(exitStuck) })
	defer watch.close()
	watch.onLong = send.long
	w := &worker{ctx: context.Background(), sets: sets, out: send, watch: watch, resume: j.Resume}
	opts := layer.Options{Stats: &layer.Stats{}, Memory: j.Memory}
	if j.Spool {
		opts.Spool = os.NewFile(fdSpool, "spool")
	}
	return w.run(j.layer(send), opts)
}

// processTime is the processor time that this process has taken.
func processTime() time.Duration {
	d, _ := sandbox.CPU(os.Getpid()) // never fails for the process itself
	return d
}

func readJob(in io.Reader, j *job) error {
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return fmt.Errorf("read job: %w", err)
	}
	n := binary.LittleEndian.Uint32(head[:])
	if n > maxJob {
		return errors.New("read job: too large")
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(in, b); err != nil {
		return fmt.Errorf("read job: %w", err)
	}
	return json.Unmarshal(b, j)
}

func writeJob(out io.Writer, j *job) error {
	b, err := json.Marshal(j)
	if err == nil && len(b) > maxJob {
		err = errors.New("too many directories")
	}
	if err != nil {
		return fmt.Errorf("write job: %w", err)
	}
	_, err = out.Write(append(binary.LittleEndian.AppendUint32(nil, uint32(len(b))), b...))
	return err
}

func (j *job) dirs() []string {
	if j.Dir == "" {
		return nil
	}
	return append([]string{j.Dir}, j.Lower...)
}

// layer is the layer as the child reads it.
func (j *job) layer(send *sender) image.Layer {
	l := image.Layer{DiffID: image.Digest(j.DiffID), Dir: j.Dir, Lower: j.Lower}
	if j.Blob == nil {
		return l
	}
	f := os.NewFile(fdBlob, "layer")
	l.BlobSize = j.Blob.Size
	l.Blob = func(context.Context) (io.ReadCloser, error) {
		return &section{SectionReader: io.NewSectionReader(f, j.Blob.Off, j.Blob.Size)}, nil
	}
	if j.Blob.Pumped {
		var stream *bufio.Reader
		var once sync.Once
		l.Blob = func(context.Context) (io.ReadCloser, error) {
			once.Do(func() { stream = bufio.NewReaderSize(f, maxChunk) })
			send.flushBatches()
			send.send(msgBlob)
			if err := send.flush(); err != nil {
				return nil, err
			}
			return io.NopCloser(&chunks{r: stream}), nil
		}
	}
	return l
}

// section is a part of a file that stays open.
type section struct{ *io.SectionReader }

func (section) Close() error { return nil }

// A pumped stream is a row of chunks, each with its length before it. A chunk
// of length 0 is the end; chunkError says that an error ended the stream, which
// the parent knows.
const (
	maxChunk   = 256 << 10
	chunkError = 1<<32 - 1
)

// errPumped stands for an error that the parent knows.
var errPumped = errors.New("read layer")

// chunks is the child's end.
type chunks struct {
	r    io.Reader
	left uint32
	err  error
}

func (c *chunks) Read(p []byte) (int, error) {
	if c.err != nil {
		return 0, c.err
	}
	if c.left == 0 {
		var head [4]byte
		if _, err := io.ReadFull(c.r, head[:]); err != nil {
			c.err = errPumped
			return 0, c.err
		}
		switch c.left = binary.LittleEndian.Uint32(head[:]); c.left {
		case 0:
			c.err = io.EOF
		case chunkError:
			c.err = errPumped
		}
		if c.err != nil {
			return 0, c.err
		}
	}
	n, err := c.r.Read(p[:min(len(p), int(c.left))])
	c.left -= uint32(n)
	if err != nil {
		c.err = errPumped
	}
	return n, c.err
}

// pump is the parent's end: it writes all of r to w. The error is that of r.
func pump(w io.Writer, r io.Reader) (readErr, writeErr error) {
	const head = 4
	buf := make([]byte, head+maxChunk)
	for {
		n, err := r.Read(buf[head:])
		if n > 0 {
			binary.LittleEndian.PutUint32(buf, uint32(n))
			if _, werr := w.Write(buf[:head+n]); werr != nil {
				return nil, werr
			}
		}
		if err == nil {
			continue
		}
		last := uint32(0)
		if !errors.Is(err, io.EOF) {
			last, readErr = chunkError, err
		}
		_, werr := w.Write(binary.LittleEndian.AppendUint32(nil, last))
		return readErr, werr
	}
}
