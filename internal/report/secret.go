package report

import (
	"cmp"
	"slices"
)

// MaxSecrets is the number of secrets of one layer in its report.
const MaxSecrets = 10_000

// A Secret is one place of an image that holds a secret. The secret itself is
// not kept anywhere.
type Secret struct {
	// Rule that found it, "aws-access-key", Title what it is in words, and
	// Kind its class: "private-key", "token", "password" …
	Rule  string `json:"rule"`
	Title string `json:"title"`
	Kind  string `json:"kind"`
	// Severity is one of those of findings.
	Severity string `json:"severity"`
	// Path is the file, absolute within the image. For one in the image's
	// configuration it is "env:NAME", "label:NAME" or "history:N", N from 1.
	Path string `json:"path"`
	// Line and Column where the value begins, from 1, Column in bytes; 0 if
	// the file has no lines.
	Line   int `json:"line,omitempty"`
	Column int `json:"column,omitempty"`
	// Masked is the value with all but a few characters replaced, Length
	// its length in bytes, and Context the name that it was given.
	Masked  string `json:"masked"`
	Length  int    `json:"length"`
	Context string `json:"context,omitempty"`
	// Encrypted says that a private key needs a password to be used, Test
	// that the path is one of tests, examples or documentation.
	Encrypted bool `json:"encrypted,omitempty"`
	Test      bool `json:"test,omitempty"`
	// Layer is the diff ID of the layer, and Deleted says that a later layer
	// hides the file: the secret is in the image all the same, for whoever
	// unpacks that layer. Set by Merge.
	Layer   string `json:"layer,omitempty"`
	Deleted bool   `json:"deleted,omitempty"`
}

// Compare orders secrets: the worst first, then by place.
func (s Secret) Compare(o Secret) int {
	return cmp.Or(
		cmp.Compare(SeverityRank(o.Severity), SeverityRank(s.Severity)),
		cmp.Compare(s.Path, o.Path), cmp.Compare(s.Line, o.Line), cmp.Compare(s.Column, o.Column),
		cmp.Compare(s.Rule, o.Rule), cmp.Compare(s.Layer, o.Layer), cmp.Compare(s.Length, o.Length), cmp.Compare(s.Masked, o.Masked),
	)
}

// secrets are those of all layers, also of files that are hidden.
func (v *view) secrets() []Secret {
	var out []Secret
	for i, l := range v.layers {
		for _, s := range l.Secrets {
			s.Layer, s.Deleted = l.DiffID, v.hidden(s.Path, i)
			out = append(out, s)
		}
	}
	slices.SortFunc(out, Secret.Compare)
	return out
}
