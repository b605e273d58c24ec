package hss

import (
	"net/http"
	"slices"

	"github.com/onceover/onceover/internal/tenant"
)

// place is where a parameter stands in a request.
type place int

const (
	inPath place = iota
	inQuery
	inHeader
)

// kind is the type of a parameter.
type kind int

const (
	kindString kind = iota
	kindInt
	kindBool
	kindList // of strings, by repeating the parameter
)

// operation is one row of the generated table.
type operation struct {
	ID      string
	Method  string
	Path    string
	Tag     string
	Summary string
	Params  []param
}

// reach is where a call acts that names no enterprise project: in the default
// one, except where the contract has no parameter for it.
func (op *operation) reach() tenant.Reach {
	switch {
	case slices.ContainsFunc(op.Params, func(p param) bool { return p.Name == tenant.Param }):
		return tenant.Default
	case op.Method == http.MethodGet:
		return tenant.All
	default:
		return tenant.Only
	}
}

// param is one parameter of an operation.
type param struct {
	Name     string
	In       place
	Kind     kind
	Required bool
	// Enum are the values allowed; nil for any.
	Enum []string
	// EmptyOutside says that a value outside of Enum selects nothing,
	// instead of being an error.
	EmptyOutside bool
	// Min and Max bound a kindInt, inclusive.
	Min, Max int64
}
