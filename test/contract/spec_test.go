package contract

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	ohss "github.com/onceover/onceover/internal/hss"
)

// spec is what the tests read of api/openapi.yaml.
type spec struct {
	Paths      map[string]map[string]specOperation `yaml:"paths"`
	Components struct {
		Parameters map[string]specParam `yaml:"parameters"`
		Schemas    map[string]*schema   `yaml:"schemas"`
	} `yaml:"components"`
}

type specOperation struct {
	ID     string      `yaml:"operationId"`
	Tags   []string    `yaml:"tags"`
	Params []specParam `yaml:"parameters"`
	Body   struct {
		Required bool `yaml:"required"`
		Content  map[string]struct {
			Schema *schema `yaml:"schema"`
		} `yaml:"content"`
	} `yaml:"requestBody"`
	Responses map[string]struct {
		Content map[string]struct {
			Schema *schema `yaml:"schema"`
		} `yaml:"content"`
	} `yaml:"responses"`

	method, path string
	built        bool
}

type specParam struct {
	Ref      string  `yaml:"$ref"`
	Name     string  `yaml:"name"`
	In       string  `yaml:"in"`
	Required bool    `yaml:"required"`
	Schema   *schema `yaml:"schema"`
}

type schema struct {
	Ref        string             `yaml:"$ref"`
	Type       string             `yaml:"type"`
	Format     string             `yaml:"format"`
	Enum       []any              `yaml:"enum"`
	Minimum    *int64             `yaml:"minimum"`
	Maximum    *int64             `yaml:"maximum"`
	Properties map[string]*schema `yaml:"properties"`
	Required   []string           `yaml:"required"`
	Items      *schema            `yaml:"items"`
	AllOf      []*schema          `yaml:"allOf"`
	OutOfRange string             `yaml:"x-hss-out-of-range"`
}

// readSpec is the contract: the operations by path and method, with what the
// server knows of them, and their references followed.
func readSpec(t *testing.T) (*spec, []specOperation) {
	t.Helper()
	b, err := os.ReadFile("../../api/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var s spec
	if err := yaml.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	built := map[string]bool{}
	for _, op := range ohss.Operations() {
		built[op.ID] = op.Built
	}
	var ops []specOperation
	for _, path := range slices.Sorted(maps.Keys(s.Paths)) {
		for _, method := range slices.Sorted(maps.Keys(s.Paths[path])) {
			op := s.Paths[path][method]
			op.method, op.path, op.built = strings.ToUpper(method), path, built[op.ID]
			for i, p := range op.Params {
				if p.Ref != "" {
					op.Params[i] = s.Components.Parameters[p.Ref[strings.LastIndex(p.Ref, "/")+1:]]
				}
			}
			ops = append(ops, op)
		}
	}
	if len(ops) != 88 {
		t.Fatalf("%d operations in the contract", len(ops))
	}
	return &s, ops
}

// of follows references.
func (s *spec) of(x *schema) *schema {
	for {
		switch {
		case x.Ref != "":
			x = s.Components.Schemas[x.Ref[strings.LastIndex(x.Ref, "/")+1:]]
		case len(x.AllOf) == 1:
			x = x.AllOf[0]
		default:
			return x
		}
	}
}

// body is the schema of the body of an operation, nil without one.
func (s *spec) body(op specOperation) *schema {
	for _, c := range op.Body.Content {
		return s.of(c.Schema)
	}
	return nil
}
