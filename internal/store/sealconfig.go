package store

import (
	"context"
	"database/sql"
	"fmt"
	"strconv"
)

// sealedMark begins an image configuration that is sealed. JSON, which older
// versions kept, never begins so.
const sealedMark = 1

const sqlSetConfig = `UPDATE content_detail SET config = $1 WHERE content_id = $2`

// sealConfig is an image configuration as it is kept: passwords may stand in
// its environment and its history.
func (s *Store) sealConfig(content int64, config []byte) []byte {
	return append([]byte{sealedMark}, s.seal.close(string(config), configOwner(content))...)
}

// openConfig is what sealConfig was given; sealed is false for what an older
// version has kept as it was.
func (s *Store) openConfig(content int64, kept []byte) (config []byte, sealed bool, err error) {
	if len(kept) == 0 || kept[0] != sealedMark {
		return kept, false, nil
	}
	out, err := s.seal.open(kept[1:], configOwner(content))
	if err != nil {
		return nil, true, fmt.Errorf("image configuration: %w", err)
	}
	return []byte(out), true, nil
}

func configOwner(content int64) string {
	return "image configuration " + strconv.FormatInt(content, 10)
}

// setConfig seals a configuration that is kept as it was.
func (s *Store) setConfig(ctx context.Context, tx *sql.Tx, content int64, config []byte) error {
	if _, err := tx.ExecContext(ctx, sqlSetConfig, s.sealConfig(content, config), content); err != nil {
		return fmt.Errorf("seal image configuration: %w", err)
	}
	return nil
}
