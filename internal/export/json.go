package export

import (
	"encoding/json"
	"fmt"
	"io"
)

// JSON writes d in the form of docs/json-schema.md.
func JSON(w io.Writer, d *Document) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(d); err != nil {
		return fmt.Errorf("write json: %w", err)
	}
	return nil
}
