package export

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// JSON writes d in the form of docs/json-schema.md. The images go out one by
// one: a document can be much larger than any of them.
func JSON(w io.Writer, d *Document) error {
	// All but the images, which are the last field.
	head := *d
	head.Images = nil
	var b bytes.Buffer
	if err := encoder(&b, "").Encode(&head); err != nil {
		return fmt.Errorf("write json: %w", err)
	}
	start, ok := bytes.CutSuffix(b.Bytes(), []byte("null\n}\n"))
	if !ok {
		return errors.New("write json: the images are not the last field of a document")
	}
	out := bufio.NewWriter(w)
	out.Write(start)
	out.WriteByte('[')
	enc := encoder(unended{out}, "    ")
	for i := range d.Images {
		if i > 0 {
			out.WriteByte(',')
		}
		out.WriteString("\n    ")
		if err := enc.Encode(&d.Images[i]); err != nil {
			return fmt.Errorf("write json: %w", err)
		}
	}
	if len(d.Images) > 0 {
		out.WriteString("\n  ")
	}
	out.WriteString("]\n}\n")
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write json: %w", err)
	}
	return nil
}

func encoder(w io.Writer, prefix string) *json.Encoder {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent(prefix, "  ")
	return enc
}

// unended leaves out the line feed that an encoder puts behind each value.
type unended struct{ w io.Writer }

func (u unended) Write(p []byte) (int, error) {
	n, err := u.w.Write(bytes.TrimSuffix(p, []byte{'\n'}))
	if err == nil {
		n = len(p)
	}
	return n, err
}
