package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"github.com/alecthomas/kong"
	"go.yaml.in/yaml/v3"
)

const (
	// defaultConfigFile is read if it is there.
	defaultConfigFile = "/etc/onceover/config.yaml"
	// maxConfigFileBytes is far beyond what any settings need.
	maxConfigFileBytes = 1 << 20
)

// settings are the flags that a configuration file sets: a mapping of command
// names to mappings, down to the names of flags.
//
//	scan:
//	  severity: high
//	db:
//	  update:
//	    url: https://mirror.example.org/osv
type settings struct {
	file   string
	values map[string]any
}

// loadSettings reads the file at path, or the default file if there is one.
func loadSettings(path string) (*settings, error) {
	file := path
	if file == "" {
		file = defaultConfigFile
	}
	s := &settings{file: file}
	f, err := os.Open(file)
	if path == "" && errors.Is(err, fs.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfigFileBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	if len(b) > maxConfigFileBytes {
		return nil, fmt.Errorf("read configuration %s: larger than %d bytes", file, maxConfigFileBytes)
	}
	if err := yaml.Unmarshal(b, &s.values); err != nil {
		return nil, fmt.Errorf("read configuration %s: %w", file, err)
	}
	return s, nil
}

// Validate refuses names that no command or flag has: a setting that is
// misspelt must not be ignored in silence.
func (s *settings) Validate(app *kong.Application) error {
	return s.check(app.Node, s.values, "")
}

func (s *settings) check(node *kong.Node, values map[string]any, at string) error {
	for name, v := range values {
		if child := childNamed(node, name); child != nil {
			below, ok := v.(map[string]any)
			if !ok && v != nil {
				return fmt.Errorf("%s: %s%s is a command and holds settings of its own", s.file, at, name)
			}
			if err := s.check(child, below, at+name+"."); err != nil {
				return err
			}
			continue
		}
		known := slices.ContainsFunc(node.Flags, func(f *kong.Flag) bool {
			return f.Name == name && name != "help" && name != "config"
		})
		if !known {
			return fmt.Errorf("%s: no such setting: %s%s", s.file, at, name)
		}
	}
	return nil
}

func childNamed(node *kong.Node, name string) *kong.Node {
	for _, c := range node.Children {
		if c.Type == kong.CommandNode && c.Name == name {
			return c
		}
	}
	return nil
}

// Resolve finds the value of a flag, unless its environment variable is set.
func (s *settings) Resolve(_ *kong.Context, parent *kong.Path, flag *kong.Flag) (any, error) {
	for _, env := range flag.Envs {
		if _, ok := os.LookupEnv(env); ok {
			return nil, nil
		}
	}
	var names []string
	for n := parent.Node(); n != nil && n.Type != kong.ApplicationNode; n = n.Parent {
		names = append([]string{n.Name}, names...)
	}
	at := s.values
	for _, n := range names {
		below, ok := at[n].(map[string]any)
		if !ok {
			return nil, nil
		}
		at = below
	}
	v, ok := at[flag.Name]
	if !ok || v == nil {
		return nil, nil
	}
	switch v := v.(type) {
	case []any:
		parts := make([]string, len(v))
		for i, x := range v {
			parts[i] = fmt.Sprint(x)
		}
		return strings.Join(parts, ","), nil
	default:
		return fmt.Sprint(v), nil
	}
}
