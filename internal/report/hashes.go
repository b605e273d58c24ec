package report

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
)

// Hashes are PathHash values, sorted. In JSON they are one base64 string of
// little-endian 8-byte numbers: a layer may have a hundred thousand.
type Hashes []uint64

// MarshalText implements encoding.TextMarshaler.
func (h Hashes) MarshalText() ([]byte, error) {
	raw := make([]byte, 0, 8*len(h))
	for _, v := range h {
		raw = binary.LittleEndian.AppendUint64(raw, v)
	}
	return base64.StdEncoding.AppendEncode(nil, raw), nil
}

// UnmarshalText implements encoding.TextUnmarshaler. It takes nothing but
// sorted hashes, since look-ups rest on the order.
func (h *Hashes) UnmarshalText(text []byte) error {
	raw, err := base64.StdEncoding.AppendDecode(nil, text)
	if err != nil {
		return fmt.Errorf("parse path hashes: %w", err)
	}
	if len(raw)%8 != 0 {
		return fmt.Errorf("parse path hashes: %d bytes are not a multiple of 8", len(raw))
	}
	out := make(Hashes, 0, len(raw)/8)
	for ; len(raw) > 0; raw = raw[8:] {
		v := binary.LittleEndian.Uint64(raw)
		if n := len(out); n > 0 && out[n-1] >= v {
			return fmt.Errorf("parse path hashes: not sorted")
		}
		out = append(out, v)
	}
	*h = out
	return nil
}
