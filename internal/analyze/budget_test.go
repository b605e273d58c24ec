package analyze

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"
)

func TestBudget(t *testing.T) {
	f := File{Content: bytes.NewReader(make([]byte, 100)), Size: 100}
	b := NewBudget(t.Context(), f, 60)
	if n, err := b.ReadAt(make([]byte, 60), 10); n != 60 || err != nil {
		t.Errorf("within: got %d, %v", n, err)
	}
	if n, err := b.ReadAt(make([]byte, 1), 0); n != 0 || !errors.Is(err, ErrLimit) || !errors.Is(b.Err(), ErrLimit) {
		t.Errorf("beyond: got %d, %v, %v", n, err, b.Err())
	}
	b = NewBudget(t.Context(), f, 60)
	if n, err := b.ReadAt(make([]byte, 20), 90); n != 10 || !errors.Is(err, io.EOF) || b.Err() != nil {
		t.Errorf("past the end: got %d, %v, %v", n, err, b.Err())
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	b = NewBudget(ctx, f, 60)
	if _, err := b.ReadAt(make([]byte, 1), 0); !errors.Is(err, context.Canceled) || !errors.Is(b.Err(), context.Canceled) {
		t.Errorf("ended context: got %v, %v", err, b.Err())
	}
}
