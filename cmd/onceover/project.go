package main

import (
	"context"

	"github.com/onceover/onceover/internal/auth"
)

// projectCmd is "onceover project".
type projectCmd struct {
	Create projectCreateCmd `cmd:"" help:"Make a project."`
	List   projectListCmd   `cmd:"" help:"List the projects."`
}

type projectCreateCmd struct {
	Name       string `arg:"" help:"Name of the project."`
	booksFlags `embed:""`
	formatFlag `embed:""`
}

// Help is shown by --help.
func (*projectCreateCmd) Help() string {
	return `A project shares nothing with another but what layers are made of. It has no user yet: 'onceover user create' makes one.

Examples:

  onceover project create shop
  onceover user create --project shop alice --role admin`
}

type listedProject struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Created string `json:"created"`
}

func newListedProject(p auth.Project) listedProject {
	return listedProject{p.ID, p.Name, formatMillis(p.CreatedAt)}
}

// Run makes the project.
func (c *projectCreateCmd) Run(ctx context.Context, std streams) error {
	return c.with(ctx, func(b *books) error {
		p, err := b.Admin.CreateProject(ctx, c.Name)
		if err != nil {
			return err
		}
		return std.projects(c.Format, "project", []auth.Project{p})
	})
}

type projectListCmd struct {
	booksFlags `embed:""`
	formatFlag `embed:""`
}

// Help is shown by --help.
func (*projectListCmd) Help() string {
	return `Examples:

  onceover project list
  onceover project list --format json`
}

// Run lists.
func (c *projectListCmd) Run(ctx context.Context, std streams) error {
	return c.with(ctx, func(b *books) error {
		all, err := b.Projects(ctx)
		if err != nil {
			return err
		}
		return std.projects(c.Format, "projects", all)
	})
}

func (s streams) projects(format, name string, all []auth.Project) error {
	list, rows := []listedProject{}, [][]string{}
	for _, p := range all {
		l := newListedProject(p)
		list, rows = append(list, l), append(rows, []string{l.ID, l.Name, l.Created})
	}
	if format == "json" {
		return writeJSON(s.Out, oneOrAll(name, list))
	}
	return s.table("PROJECT\tNAME\tCREATED", rows)
}

// oneOrAll is the object that holds a list, or its only element under a name in
// the singular.
func oneOrAll[T any](name string, list []T) map[string]any {
	out := map[string]any{"schema_version": 1, name: list}
	if name[len(name)-1] != 's' {
		out[name] = list[0]
	}
	return out
}

// enterpriseCmd is "onceover enterprise-project".
type enterpriseCmd struct {
	Create enterpriseCreateCmd `cmd:"" help:"Make an enterprise project."`
	List   enterpriseListCmd   `cmd:"" help:"List the enterprise projects of a project."`
	Rename enterpriseRenameCmd `cmd:"" help:"Give an enterprise project another name."`
}

type enterpriseCreateCmd struct {
	Name        string `arg:"" help:"Name of the enterprise project."`
	projectFlag `embed:""`
	booksFlags  `embed:""`
	formatFlag  `embed:""`
}

// Help is shown by --help.
func (*enterpriseCreateCmd) Help() string {
	return `An enterprise project is a part of a project with hosts, images, results and settings of its own. Clients send its id as enterprise_project_id.

Examples:

  onceover enterprise-project create payments
  onceover enroll-key --enterprise-project payments --uses 20`
}

// Run makes the enterprise project.
func (c *enterpriseCreateCmd) Run(ctx context.Context, std streams) error {
	return c.inProject(ctx, c.projectFlag, func(b *books, p auth.Project) error {
		ep, err := b.CreateEnterpriseProject(ctx, p.ID, c.Name)
		if err != nil {
			return err
		}
		return std.enterprises(c.Format, "enterprise_project", []listedProject{{ep.ID, ep.Name, formatMillis(ep.CreatedAt)}})
	})
}

type enterpriseListCmd struct {
	projectFlag `embed:""`
	booksFlags  `embed:""`
	formatFlag  `embed:""`
}

// Help is shown by --help.
func (*enterpriseListCmd) Help() string {
	return `Examples:

  onceover enterprise-project list
  onceover enterprise-project list --project shop --format json`
}

// Run lists.
func (c *enterpriseListCmd) Run(ctx context.Context, std streams) error {
	return c.inProject(ctx, c.projectFlag, func(b *books, p auth.Project) error {
		all, err := b.EnterpriseProjects(ctx, p.ID)
		if err != nil {
			return err
		}
		list := []listedProject{}
		for _, ep := range all {
			list = append(list, listedProject{ep.ID, ep.Name, formatMillis(ep.CreatedAt)})
		}
		return std.enterprises(c.Format, "enterprise_projects", list)
	})
}

type enterpriseRenameCmd struct {
	Enterprise  string `arg:"" name:"enterprise-project" help:"Name or id."`
	Name        string `arg:"" help:"The new name."`
	projectFlag `embed:""`
	booksFlags  `embed:""`
}

// Help is shown by --help.
func (*enterpriseRenameCmd) Help() string {
	return `The id stays the same.

Examples:

  onceover enterprise-project rename payments billing`
}

// Run renames.
func (c *enterpriseRenameCmd) Run(ctx context.Context, _ streams) error {
	return c.inProject(ctx, c.projectFlag, func(b *books, p auth.Project) error {
		ep, err := b.enterprise(ctx, p.ID, c.Enterprise)
		if err != nil {
			return err
		}
		return b.RenameEnterpriseProject(ctx, p.ID, ep, c.Name)
	})
}

func (s streams) enterprises(format, name string, list []listedProject) error {
	if format == "json" {
		return writeJSON(s.Out, oneOrAll(name, list))
	}
	rows := [][]string{}
	for _, l := range list {
		rows = append(rows, []string{l.ID, l.Name, l.Created})
	}
	return s.table("ENTERPRISE PROJECT\tNAME\tCREATED", rows)
}
