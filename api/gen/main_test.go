package main

import (
	"bytes"
	"os"
	"testing"
)

// TestTableIsUpToDate fails if the contract or the generator changed and
// "go generate ./internal/hss" was not run.
func TestTableIsUpToDate(t *testing.T) {
	spec, err := os.ReadFile("../openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want, err := generate(spec)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../internal/hss/operations.gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, got) {
		t.Error("internal/hss/operations.gen.go is not what the contract gives: run go generate ./internal/hss")
	}
}

func TestWhatIsNotKnownIsRefused(t *testing.T) {
	for name, spec := range map[string]string{
		"method": "paths: {/a: {trace: {operationId: A}}}",
		"place":  "paths: {/a: {get: {operationId: A, parameters: [{name: x, in: cookie, schema: {type: string}}]}}}",
		"type":   "paths: {/a: {get: {operationId: A, parameters: [{name: x, in: query, schema: {type: object}}]}}}",
		"ref":    "paths: {/a: {get: {operationId: A, parameters: [{$ref: '#/components/parameters/No'}]}}}",
		"yaml":   "paths: [",
	} {
		if code, err := generate([]byte(spec)); err == nil {
			t.Errorf("%s: accepted:\n%s", name, code)
		}
	}
}
