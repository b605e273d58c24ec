package secret

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/report"
)

const (
	// maxConfigText bounds one variable, label or line of the history, and
	// maxConfigItems their number.
	maxConfigText  = 256 << 10
	maxConfigItems = 5000
)

// ScanConfig finds the secrets in an image's configuration: env are
// "NAME=value", history is created_by of each step in order. The paths of what
// it finds are "env:NAME", "label:NAME" and "history:N", N from 1. An error
// wraps ErrLimit or is that of ctx.
func (e *Engine) ScanConfig(ctx context.Context, env []string, labels map[string]string, history []string) ([]Secret, error) {
	var out []Secret
	var limit error
	n := 0
	look := func(place, name, text string) error {
		if n++; n > maxConfigItems || len(text) > maxConfigText {
			limit = ErrLimit
			text = text[:min(len(text), maxConfigText)]
			if n > maxConfigItems {
				return nil
			}
		}
		// The rules for files of configuration apply.
		found, err := e.ScanBytes(ctx, "/image/config.env", []byte(text))
		if errors.Is(err, ErrLimit) {
			limit, err = err, nil
		}
		for _, f := range found {
			f.Path = place + ":" + printable(name[:min(len(name), 100)])
			out = append(out, f)
		}
		return err
	}
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		if err := look("env", name, v); err != nil {
			return nil, err
		}
	}
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if err := look("label", k, k+"="+labels[k]); err != nil {
			return nil, err
		}
	}
	for i, h := range history {
		if err := look("history", strconv.Itoa(i+1), h); err != nil {
			return nil, err
		}
	}
	return out, limit
}

// ScanImage finds the secrets in the configuration of an image, in the words of
// package report. What was found before a limit comes with an error that wraps
// ErrLimit.
func (e *Engine) ScanImage(ctx context.Context, cfg image.Config) ([]report.Secret, error) {
	history := make([]string, len(cfg.History))
	for i, h := range cfg.History {
		history[i] = h.CreatedBy
	}
	found, err := e.ScanConfig(ctx, cfg.Env, cfg.Labels, history)
	return Reported(found), err
}
