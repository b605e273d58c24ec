package scan

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/onceover/onceover/internal/report"
)

// A worker tells what it finds in messages: one byte for the kind, four for
// the length, then the body. Numbers are little-endian. They go through a pipe
// from a sandboxed child, or through memory; either way the collector does not
// trust them.
const (
	msgHello     = 'h' // JSON hello
	msgDirs      = 'd' // path hashes of directories
	msgOthers    = 'o' // of devices, pipes and sockets
	msgPassed    = 'p' // of files ruled out by name
	msgDeferred  = 'l' // number of an entry: a hard link that comes again
	msgSymlink   = 's' // length of the path, path, target
	msgWhiteout  = 'w' // path
	msgOpaque    = 'q' // path
	msgReset     = 'R' // nothing said so far counts
	msgStatFacts = 'D' // JSON statFacts
	msgBegin     = 'b' // number of the entry, sum over the entries, bits of the sets that want it, path
	msgResult    = 'r' // JSON list of results of the file that was begun, one for each of these sets
	msgNothing   = 'n' // for each of these sets, the bytes that were read (varint): the file said nothing
	msgLong      = 'L' // the file that was begun takes long: it is this that the worker is at
	msgMark      = 'm' // number of an entry, sum over the entries: all is said of them and those before
	msgFile      = 'f' // of a file: size, mode, kind, reason, digest, path
	msgBlob      = 'B' // the layer's stream is wanted, from its start
	msgEnd       = 'E' // JSON end
)

const (
	// maxMessage bounds one message: facts about some 50,000 packages, or
	// the owner of 1,500,000 files.
	maxMessage = 16 << 20
	// maxFacts bounds all results of a layer, as sent.
	maxFacts = 64 << 20
	// maxStatFacts bounds what is said of directories and of files by their
	// stat data, in bytes and in number. Who makes every file of a layer
	// writable by all does not push out what the files say.
	maxStatFacts     = 32 << 20
	maxStatFactsKept = 50_000
	// maxSince is what is sent before a mark is due, and maxWaiting what may
	// wait to be booked: that, and one large message.
	maxSince   = 1 << 20
	maxWaiting = maxMessage + 4*maxSince
	// batch is how many hashes go into one message.
	batch = 4096
	// headerBytes precede each message.
	headerBytes = 5
)

// errMessage means that a worker does not keep to the protocol.
var errMessage = errors.New("the layer worker sent what makes no sense")

// hello is the first message of a child.
type hello struct {
	// Lacking is what of its sandbox the kernel could not do.
	Lacking []string `json:"lacking,omitempty"`
}

// statFacts is what an analyser of a set says of a directory, or of a file by its
// stat data.
type statFacts struct {
	Set   int          `json:"set"`
	Path  string       `json:"path"`
	Facts report.Facts `json:"facts"`
}

// result is what became of one file, for one set.
type result struct {
	// Skipped is the reason, "" if the file was read.
	Skipped string `json:"skipped,omitempty"`
	// Bytes of content that were read.
	Bytes    int64            `json:"bytes,omitempty"`
	Facts    []report.Facts   `json:"facts,omitempty"`
	Problems []report.Problem `json:"problems,omitempty"`
	// Unfinished is set if the file could have said more.
	Unfinished bool `json:"unfinished,omitempty"`
}

// end is the last message.
type end struct {
	// Error is what ended the walk, nil for the end of the layer; Trouble
	// what the host failed to do on the way.
	Error   *failure `json:"error,omitempty"`
	Trouble *failure `json:"trouble,omitempty"`
	// FilesOpened and BytesRead as in layer.Stats.
	// Files says that the digests of files were taken.
	Files       bool  `json:"files,omitempty"`
	FilesOpened int64 `json:"files_opened"`
	BytesRead   int64 `json:"bytes_read"`
}

// sender writes messages. What it has is sent when its buffer is full, and by
// flush.
type sender struct {
	mu      sync.Mutex // held while something is written or sent
	w       *bufio.Writer
	err     error
	batches map[byte][]uint64
	// since is what was sent since the last mark or the last file that was
	// begun; full says that a mark is due.
	since int
	full  bool
}

func newSender(w io.Writer) *sender {
	return &sender{w: bufio.NewWriterSize(w, 64<<10), batches: map[byte][]uint64{}}
}

func (s *sender) send(kind byte, parts ...[]byte) {
	n := 0
	for _, p := range parts {
		n += len(p)
	}
	var head [headerBytes]byte
	head[0] = kind
	binary.LittleEndian.PutUint32(head[1:], uint32(n))
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.since += headerBytes + n; kind == msgBegin || kind == msgMark {
		s.since = 0
	} else if s.since > maxSince {
		s.full = true
	}
	s.write(head[:])
	for _, p := range parts {
		s.write(p)
	}
}

func (s *sender) write(p []byte) {
	if s.err == nil {
		_, s.err = s.w.Write(p)
	}
}

func (s *sender) sendJSON(kind byte, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if len(b) > maxMessage {
		return fmt.Errorf("%w: %d bytes of facts: the limit is %d", errFacts, len(b), maxMessage)
	}
	s.send(kind, b)
	return nil
}

// hash adds a path hash to the batch of its kind.
func (s *sender) hash(kind byte, h uint64) {
	b := append(s.batches[kind], h)
	s.batches[kind] = b
	if len(b) >= batch {
		s.sendBatch(kind)
		s.full = true
	}
}

func (s *sender) sendBatch(kind byte) {
	b := s.batches[kind]
	if len(b) == 0 {
		return
	}
	raw := make([]byte, 0, 8*len(b))
	for _, h := range b {
		raw = binary.LittleEndian.AppendUint64(raw, h)
	}
	s.send(kind, raw)
	s.batches[kind] = b[:0]
}

// flushBatches puts the batches before what comes next.
func (s *sender) flushBatches() {
	for _, kind := range []byte{msgDirs, msgOthers, msgPassed} {
		s.sendBatch(kind)
	}
}

// flush sends everything.
func (s *sender) flush() error {
	s.flushBatches()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = s.w.Flush()
	}
	return s.err
}

// long says that a file takes long, and sends everything. It is called beside
// whoever sends the rest.
func (s *sender) long() {
	s.send(msgLong)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil {
		s.err = s.w.Flush()
	}
}

// receiver reads messages.
type receiver struct {
	r   *bufio.Reader
	buf bytes.Buffer
}

func newReceiver(r io.Reader) *receiver { return &receiver{r: bufio.NewReaderSize(r, 64<<10)} }

// next returns a message, which is valid until the next call. io.EOF means
// that the worker is gone.
func (r *receiver) next() (kind byte, body []byte, err error) {
	var head [headerBytes]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return 0, nil, io.EOF
	}
	n := binary.LittleEndian.Uint32(head[1:])
	if n > maxMessage {
		return 0, nil, fmt.Errorf("%w: a message of %d bytes", errMessage, n)
	}
	const keep = 1 << 20
	if r.buf.Cap() > keep {
		r.buf = bytes.Buffer{}
	}
	r.buf.Reset()
	// The buffer grows with what really comes.
	if _, err := io.CopyN(&r.buf, r.r, int64(n)); err != nil {
		return 0, nil, io.EOF
	}
	return head[0], r.buf.Bytes(), nil
}
