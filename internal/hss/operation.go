package hss

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
