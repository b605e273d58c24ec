package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"

	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/vex"
)

// Limits of the VEX documents of a project.
const (
	MaxVEXDocuments = 200
	MaxVEXBytes     = 8 << 20  // of one
	MaxAllVEXBytes  = 64 << 20 // of all together
	maxVEXName      = 128      // bytes
)

// A VEXDocument describes a document that was given to a project.
type VEXDocument struct {
	Name   string
	Format string // vex.FormatOpenVEX or vex.FormatCSAF
	// Digest is the SHA-256 of the content, "sha256:…".
	Digest     string
	Size       int64 // bytes
	Statements int64
	PutBy      string // access key id
	PutAt      int64  // Unix milliseconds
}

const (
	sqlVEXList    = `SELECT name, format, digest, size, statements, put_by, put_at FROM vex_document WHERE project_id = $1 ORDER BY seq`
	sqlVEXContent = `SELECT content FROM vex_document WHERE project_id = $1 AND name = $2`
	sqlVEXOthers  = `SELECT COUNT(*), COALESCE(SUM(size), 0), COALESCE(MAX(seq), 0) FROM vex_document WHERE project_id = $1 AND name <> $2`
	sqlPutVEX     = `INSERT INTO vex_document (project_id, name, format, digest, size, statements, put_by, put_at, seq, content) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
ON CONFLICT (project_id, name) DO UPDATE SET format = excluded.format, digest = excluded.digest, size = excluded.size, statements = excluded.statements,
put_by = excluded.put_by, put_at = excluded.put_at, seq = excluded.seq, content = excluded.content`
	sqlDropVEX = `DELETE FROM vex_document WHERE project_id = $1 AND name = $2 RETURNING digest`
)

// PutVEX keeps a VEX document of a project, in the place of one with the same
// name. One that cannot be read is fault.Invalid and says where; more than the
// limits is fault.TooLarge.
func (s *Store) PutVEX(ctx context.Context, project, name, by string, content []byte) (VEXDocument, error) {
	if err := checkVEXName(name); err != nil {
		return VEXDocument{}, err
	}
	if len(content) > MaxVEXBytes {
		return VEXDocument{}, fault.New(fault.TooLarge, "VEX document %s: %d bytes, the limit is %d", name, len(content), MaxVEXBytes)
	}
	parsed, err := vex.Parse(name, content)
	if err != nil {
		return VEXDocument{}, fault.New(fault.CodeOf(err), "VEX document %s: %w", name, err)
	}
	d := VEXDocument{
		Name: name, Format: parsed.Format, Digest: string(image.DigestOf(content)), Size: int64(len(content)),
		Statements: int64(parsed.Statements()), PutBy: by, PutAt: s.now().UnixMilli(),
	}
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		var n, size, seq int64
		if err := tx.QueryRowContext(ctx, sqlVEXOthers, project, name).Scan(&n, &size, &seq); err != nil {
			return err
		}
		switch {
		case n >= MaxVEXDocuments:
			return fault.New(fault.TooLarge, "the project has %d VEX documents, which is the limit", n)
		case size+d.Size > MaxAllVEXBytes:
			return fault.New(fault.TooLarge, "the VEX documents of the project would have %d bytes, the limit is %d", size+d.Size, MaxAllVEXBytes)
		}
		_, err := tx.ExecContext(ctx, sqlPutVEX, project, d.Name, d.Format, d.Digest, d.Size, d.Statements, d.PutBy, d.PutAt, seq+1, content)
		return err
	})
	if err != nil {
		return VEXDocument{}, fmt.Errorf("store VEX document %s: %w", name, err)
	}
	return d, nil
}

// checkVEXName keeps names to what stands in a path and in a log as it is.
func checkVEXName(name string) error {
	ok := name != "" && len(name) <= maxVEXName && name[0] != '.'
	for _, c := range []byte(name) {
		ok = ok && (c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '_' || c == '-')
	}
	if !ok {
		return fault.New(fault.Invalid, "the name of a VEX document has 1 to %d letters, digits, dots, dashes and underscores, and does not begin with a dot", maxVEXName)
	}
	return nil
}

// VEX lists the VEX documents of a project, in the order of their precedence,
// the last before the others.
func (s *Store) VEX(ctx context.Context, project string) (out []VEXDocument, err error) {
	err = s.inView(ctx, func(tx *sql.Tx) error {
		out, err = listVEX(ctx, tx, project)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list VEX documents: %w", err)
	}
	return out, nil
}

func listVEX(ctx context.Context, tx *sql.Tx, project string) (out []VEXDocument, err error) {
	err = each(ctx, tx, sqlVEXList, []any{project}, func(r *sql.Rows) error {
		var d VEXDocument
		err := r.Scan(&d.Name, &d.Format, &d.Digest, &d.Size, &d.Statements, &d.PutBy, &d.PutAt)
		out = append(out, d)
		return err
	})
	return out, err
}

// VEXContent is a document as it was given; fault.NotFound if there is none.
func (s *Store) VEXContent(ctx context.Context, project, name string) ([]byte, error) {
	var out []byte
	err := s.read.QueryRowContext(ctx, sqlVEXContent, project, text(name)).Scan(&out)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, noVEX(name)
	}
	if err != nil {
		return nil, fmt.Errorf("read VEX document: %w", err)
	}
	return out, nil
}

// DropVEX forgets a document and returns its digest; fault.NotFound if there is
// none.
func (s *Store) DropVEX(ctx context.Context, project, name string) (digest string, err error) {
	err = s.inTx(ctx, func(tx *sql.Tx) error {
		return tx.QueryRowContext(ctx, sqlDropVEX, project, text(name)).Scan(&digest)
	})
	if errors.Is(err, sql.ErrNoRows) {
		return "", noVEX(name)
	}
	if err != nil {
		return "", fmt.Errorf("delete VEX document: %w", err)
	}
	return digest, nil
}

func noVEX(name string) error { return fault.New(fault.NotFound, "there is no VEX document %q", name) }
