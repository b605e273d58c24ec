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
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(&head); err != nil {
		return fmt.Errorf("write json: %w", err)
	}
	start, ok := bytes.CutSuffix(appendIndented(nil, b.Bytes(), 0), []byte("null\n}"))
	if !ok {
		return errors.New("write json: the images are not the last field of a document")
	}
	out := bufio.NewWriter(w)
	out.Write(start)
	out.WriteByte('[')
	var text []byte
	for i := range d.Images {
		b.Reset()
		if err := enc.Encode(&d.Images[i]); err != nil {
			return fmt.Errorf("write json: %w", err)
		}
		text = text[:0]
		if i > 0 {
			text = append(text, ',')
		}
		text = appendIndented(appendLine(text, 2), b.Bytes(), 2)
		out.Write(text)
	}
	if len(d.Images) > 0 {
		out.Write(appendLine(nil, 1))
	}
	out.WriteString("]\n}\n")
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write json: %w", err)
	}
	return nil
}

// appendIndented adds src, a value as package json writes it, in the form of
// json.Indent: with two spaces for each level from depth on. That json.Indent
// checks src once more was half of what a scan of known layers takes.
func appendIndented(dst, src []byte, depth int) []byte {
	for i := 0; i < len(src); i++ {
		c := src[i]
		switch c {
		case '"':
			end := i + 1
			for src[end] != '"' {
				if src[end] == '\\' {
					end++
				}
				end++
			}
			dst = append(dst, src[i:end+1]...)
			i = end
		case '{', '[':
			dst = append(dst, c)
			if next := src[i+1]; next == '}' || next == ']' {
				dst = append(dst, next)
				i++
				continue
			}
			depth++
			dst = appendLine(dst, depth)
		case '}', ']':
			depth--
			dst = append(appendLine(dst, depth), c)
		case ',':
			dst = appendLine(append(dst, c), depth)
		case ':':
			dst = append(dst, ": "...)
		case '\n': // at the end
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// appendLine begins a new line.
func appendLine(dst []byte, depth int) []byte {
	dst = append(dst, '\n')
	for range depth {
		dst = append(dst, "  "...)
	}
	return dst
}
