package cache

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/klauspost/compress/zstd"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
)

// A file is magic, then the SHA-256 of what follows, then the report as JSON
// in one zstd frame.
const (
	magic      = "onceover layer report 1\n"
	headerSize = len(magic) + sha256.Size

	// maxReportBytes is the largest report kept, as JSON: a layer of some
	// five million files.
	maxReportBytes = 128 << 20
	// maxFileBytes is the largest file read. What does not compress grows
	// by less than a thousandth.
	maxFileBytes = maxReportBytes + maxReportBytes/1000
)

var errDamaged = errors.New("damaged layer report")

func encode(r *report.LayerReport) ([]byte, error) {
	js, err := json.Marshal(r)
	if err != nil {
		return nil, err
	}
	if len(js) > maxReportBytes {
		return nil, fault.New(fault.TooLarge, "%d bytes: the limit is %d", len(js), maxReportBytes)
	}
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(false))
	if err != nil {
		return nil, err
	}
	defer enc.Close()
	out := enc.EncodeAll(js, make([]byte, headerSize, headerSize+len(js)/4))
	copy(out, magic)
	sum := sha256.Sum256(out[headerSize:])
	copy(out[len(magic):], sum[:])
	return out, nil
}

func decode(data []byte) (*report.LayerReport, error) {
	if len(data) < headerSize || string(data[:len(magic)]) != magic {
		return nil, errDamaged
	}
	sum := sha256.Sum256(data[headerSize:])
	if !bytes.Equal(sum[:], data[len(magic):headerSize]) {
		return nil, errDamaged
	}
	dec, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxReportBytes))
	if err != nil {
		return nil, err
	}
	defer dec.Close()
	js, err := dec.DecodeAll(data[headerSize:], nil)
	if err != nil {
		return nil, fmt.Errorf("decompress layer report: %w", err)
	}
	var r report.LayerReport
	if err := json.Unmarshal(js, &r); err != nil {
		return nil, fmt.Errorf("parse layer report: %w", err)
	}
	return &r, nil
}

// readFile reads a file of the cache up to the limit; anything that is not a
// regular file of fair size is damaged.
func readFile(root *os.Root, name string) ([]byte, error) {
	fi, err := root.Lstat(name)
	if err != nil {
		return nil, err
	}
	if !fi.Mode().IsRegular() || fi.Size() > maxFileBytes {
		return nil, errDamaged
	}
	f, err := root.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxFileBytes))
}
