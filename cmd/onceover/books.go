package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"text/tabwriter"

	"golang.org/x/term"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/export"
	"github.com/onceover/onceover/internal/store"
)

// booksFlags name the database of a server, for the commands that change or
// read it beside the server.
type booksFlags struct {
	Data     string   `help:"Data directory of the server. Default: as for the server." placeholder:"DIR" type:"path" env:"ONCEOVER_DATA"`
	Database string   `help:"PostgreSQL database of the server, if it has one." placeholder:"postgres://..." env:"ONCEOVER_DATABASE"`
	Seal     sealFlag `embed:""`
}

// projectFlag names a project.
type projectFlag struct {
	Project string `help:"Name or id of the project. Default: the first one." placeholder:"PROJECT" env:"ONCEOVER_PROJECT"`
}

// formatFlag is how a list is written.
type formatFlag struct {
	Format string `short:"f" help:"How to write the result: ${enum}." enum:"table,json" default:"table"`
}

// Validate checks the flags.
func (f booksFlags) Validate() error { return checkDatabase(f.Database) }

// books are the open database of a server.
type books struct {
	*store.Store
	store.Admin
}

// open opens the database; the server may be running.
func (f booksFlags) open(ctx context.Context) (*books, error) {
	if f.Data == "" {
		dir, err := defaultStateDir()
		if err != nil {
			return nil, err
		}
		f.Data = dir
	}
	if _, err := os.Stat(filepath.Join(f.Data, store.FileName)); f.Database == "" && errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("there is no server's database in %s: start the server once, or say --data DIR", f.Data)
	}
	seal, err := f.Seal.read(f.Data)
	if err != nil {
		return nil, err
	}
	st, err := store.Open(ctx, store.Config{URL: f.Database, DataDir: f.Data, SealKey: seal.key})
	if err != nil {
		return nil, err
	}
	if err := seal.check(ctx, st); err != nil {
		return nil, errors.Join(err, st.Close())
	}
	by := "cli"
	if u, err := user.Current(); err == nil {
		by += ":" + u.Username
	}
	return &books{st, st.As(by)}, nil
}

// with opens the database for f.
func (f booksFlags) with(ctx context.Context, do func(*books) error) error {
	b, err := f.open(ctx)
	if err != nil {
		return err
	}
	return errors.Join(do(b), b.Close())
}

// inProject opens the database for something in a project.
func (f booksFlags) inProject(ctx context.Context, p projectFlag, do func(*books, auth.Project) error) error {
	return f.with(ctx, func(b *books) error {
		project, err := b.project(ctx, p.Project)
		if err != nil {
			return err
		}
		return do(b, project)
	})
}

// project finds a project by id or name; "" is the first.
func (b *books) project(ctx context.Context, name string) (auth.Project, error) {
	if name == "" {
		return b.FirstProject(ctx)
	}
	all, err := b.Projects(ctx)
	if err != nil {
		return auth.Project{}, err
	}
	var found []auth.Project
	for _, p := range all {
		if p.ID == name {
			return p, nil
		}
		if p.Name == name {
			found = append(found, p)
		}
	}
	switch len(found) {
	case 0:
		return auth.Project{}, usagef("there is no project %q: see 'onceover project list'", name)
	case 1:
		return found[0], nil
	}
	return auth.Project{}, usagef("%d projects have the name %q: give the id", len(found), name)
}

// enterprise finds an enterprise project by id or name; "" is the default one.
func (b *books) enterprise(ctx context.Context, projectID, name string) (store.EnterpriseProject, error) {
	all, err := b.EnterpriseProjects(ctx, projectID)
	if err != nil {
		return store.EnterpriseProject{}, err
	}
	for _, ep := range all {
		if name == "" || ep.ID == name || ep.Name == name {
			return ep, nil
		}
	}
	return store.EnterpriseProject{}, usagef("there is no enterprise project %q in the project: see 'onceover enterprise-project list'", name)
}

// grants turns names of enterprise projects into what a user is granted; "all"
// is all of them, those to come too, and none given is "".
func (b *books) grants(ctx context.Context, projectID string, names []string) (auth.Grants, error) {
	var ids []string
	for _, n := range names {
		if n == "all" {
			return auth.GrantAll, nil
		}
		ep, err := b.enterprise(ctx, projectID, n)
		if err != nil {
			return "", err
		}
		ids = append(ids, ep.ID)
	}
	return auth.Grants(strings.Join(ids, ",")), nil
}

// table writes rows below a head, with tabs between cells.
func (s streams) table(head string, rows [][]string) error {
	w := tabwriter.NewWriter(s.Out, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, head)
	for _, r := range rows {
		for i := range r {
			if r[i] == "" {
				r[i] = "-"
			}
			r[i] = export.Printable(r[i])
		}
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	return w.Flush()
}

// newPassword reads a password from a file, or from the terminal twice, or from
// the first line of the standard input.
func newPassword(std streams, file string) (string, error) {
	in := int(os.Stdin.Fd())
	switch {
	case file != "":
		b, err := readSmallFile(file)
		if err != nil {
			return "", fmt.Errorf("read password: %w", err)
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	case term.IsTerminal(in):
		var typed [2]string
		for i, prompt := range []string{"password: ", "once more: "} {
			fmt.Fprint(std.Err, prompt)
			b, err := term.ReadPassword(in)
			fmt.Fprintln(std.Err)
			if err != nil {
				return "", fmt.Errorf("read password: %w", err)
			}
			typed[i] = string(b)
		}
		if typed[0] != typed[1] {
			return "", usagef("the two passwords differ")
		}
		return typed[0], nil
	}
	line, err := bufio.NewReader(io.LimitReader(os.Stdin, maxSmallFile)).ReadString('\n')
	if err != nil && !errors.Is(err, io.EOF) {
		return "", fmt.Errorf("read password: %w", err)
	}
	return strings.TrimRight(line, "\r\n"), nil
}

// lines writes lines.
func (s streams) lines(all ...string) error {
	_, err := fmt.Fprintln(s.Out, strings.Join(all, "\n"))
	return err
}
