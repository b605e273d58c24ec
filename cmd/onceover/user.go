package main

import (
	"context"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/store"
)

// userCmd is "onceover user".
type userCmd struct {
	Create      userCreateCmd   `cmd:"" help:"Make a user."`
	List        userListCmd     `cmd:"" help:"List the users of a project."`
	Disable     userDisableCmd  `cmd:"" help:"Close a user's keys, tokens and password."`
	Enable      userEnableCmd   `cmd:"" help:"Open them again."`
	Delete      userDeleteCmd   `cmd:"" help:"Take a user away, with all keys and tokens."`
	SetPassword userPasswordCmd `cmd:"" name:"set-password" help:"Give a user a password, or take it away."`
	SetRole     userRoleCmd     `cmd:"" name:"set-role" help:"Change what a user may do, and where."`
}

// userFlags name a user.
type userFlags struct {
	Name        string `arg:"" help:"Name of the user."`
	projectFlag `embed:""`
	booksFlags  `embed:""`
}

type userCreateCmd struct {
	userFlags
	Role         string   `help:"What the user may do: ${enum}." enum:"viewer,operator,admin" default:"viewer"`
	Enterprise   []string `name:"enterprise-project" help:"Name or id of an enterprise project that the user may act in; repeatable. Default: all, those to come too." default:"all" placeholder:"NAME"`
	Password     bool     `help:"Ask for a password, with which the user gets tokens."`
	PasswordFile string   `help:"Read the password from FILE." placeholder:"FILE" type:"path"`
}

// Help is shown by --help.
func (*userCreateCmd) Help() string {
	return `A viewer reads. An operator scans, stops, handles and exports too. An admin changes policies, whitelists, weak passwords and VEX documents too. A user works with access keys ('onceover key create') or a password.

Examples:

  onceover user create alice --role operator
  onceover user create bob --role viewer --enterprise-project payments --password`
}

// Run makes the user.
func (c *userCreateCmd) Run(ctx context.Context, std streams) error {
	password := ""
	if c.Password || c.PasswordFile != "" {
		var err error
		if password, err = newPassword(std, c.PasswordFile); err != nil {
			return err
		}
		if password == "" {
			return usagef("the password is empty")
		}
	}
	return c.inProject(ctx, c.projectFlag, func(b *books, p auth.Project) error {
		granted, err := b.grants(ctx, p.ID, c.Enterprise)
		if err != nil {
			return err
		}
		_, err = b.CreateUser(ctx, store.User{ProjectID: p.ID, Name: c.Name, Role: auth.Role(c.Role), Granted: granted}, password)
		return err
	})
}

type userListCmd struct {
	projectFlag `embed:""`
	booksFlags  `embed:""`
	formatFlag  `embed:""`
}

// Help is shown by --help.
func (*userListCmd) Help() string {
	return `Examples:

  onceover user list
  onceover user list --project shop --format json`
}

type listedUser struct {
	Name     string `json:"name"`
	Role     string `json:"role"`
	Granted  string `json:"enterprise_projects"`
	Password bool   `json:"password"`
	Disabled bool   `json:"disabled"`
	Created  string `json:"created"`
}

// Run lists.
func (c *userListCmd) Run(ctx context.Context, std streams) error {
	return c.inProject(ctx, c.projectFlag, func(b *books, p auth.Project) error {
		all, err := b.Users(ctx, p.ID)
		if err != nil {
			return err
		}
		list, rows := []listedUser{}, [][]string{}
		for _, u := range all {
			l := listedUser{u.Name, string(u.Role), string(u.Granted), u.Password, u.Disabled, formatMillis(u.CreatedAt)}
			if u.Granted == auth.GrantAll {
				l.Granted = "all"
			}
			list = append(list, l)
			rows = append(rows, []string{l.Name, l.Role, l.Granted, word(u.Password, "yes", ""), word(u.Disabled, "disabled", "active"), l.Created})
		}
		if c.Format == "json" {
			return writeJSON(std.Out, oneOrAll("users", list))
		}
		return std.table("USER\tROLE\tENTERPRISE PROJECTS\tPASSWORD\tSTATE\tCREATED", rows)
	})
}

func word(b bool, yes, no string) string {
	if b {
		return yes
	}
	return no
}

type userDisableCmd struct{ userFlags }

// Help is shown by --help.
func (*userDisableCmd) Help() string {
	return `It acts on the next request, on all servers of the database.

Examples:

  onceover user disable alice`
}

// Run disables.
func (c *userDisableCmd) Run(ctx context.Context, _ streams) error {
	return c.inProject(ctx, c.projectFlag, func(b *books, p auth.Project) error {
		return b.SetUserDisabled(ctx, p.ID, c.Name, true)
	})
}

type userEnableCmd struct{ userFlags }

// Help is shown by --help.
func (*userEnableCmd) Help() string {
	return `Examples:

  onceover user enable alice`
}

// Run enables.
func (c *userEnableCmd) Run(ctx context.Context, _ streams) error {
	return c.inProject(ctx, c.projectFlag, func(b *books, p auth.Project) error {
		return b.SetUserDisabled(ctx, p.ID, c.Name, false)
	})
}

type userDeleteCmd struct{ userFlags }

// Help is shown by --help.
func (*userDeleteCmd) Help() string {
	return `What the user did stays in the audit log and in decisions.

Examples:

  onceover user delete alice`
}

// Run deletes.
func (c *userDeleteCmd) Run(ctx context.Context, _ streams) error {
	return c.inProject(ctx, c.projectFlag, func(b *books, p auth.Project) error {
		return b.DeleteUser(ctx, p.ID, c.Name)
	})
}

type userPasswordCmd struct {
	userFlags
	PasswordFile string `help:"Read the password from FILE. Without this it is asked for, or read from the standard input." placeholder:"FILE" type:"path"`
	Remove       bool   `help:"Take the password away."`
}

// Help is shown by --help.
func (*userPasswordCmd) Help() string {
	return `A password has 12 to 128 bytes. Tokens and temporary keys that were issued for the former one end.

Examples:

  onceover user set-password alice
  onceover user set-password alice --password-file /run/secrets/alice
  onceover user set-password alice --remove`
}

// Run sets the password.
func (c *userPasswordCmd) Run(ctx context.Context, std streams) error {
	password := ""
	if !c.Remove {
		var err error
		if password, err = newPassword(std, c.PasswordFile); err != nil {
			return err
		}
		if password == "" {
			return usagef("the password is empty: --remove takes it away")
		}
	}
	return c.inProject(ctx, c.projectFlag, func(b *books, p auth.Project) error {
		return b.SetPassword(ctx, p.ID, c.Name, password)
	})
}

type userRoleCmd struct {
	userFlags
	Role       string   `help:"What the user may do: ${enum}." enum:"viewer,operator,admin" required:""`
	Enterprise []string `name:"enterprise-project" help:"Name or id of an enterprise project that the user may act in, or all; repeatable. Default: as before." placeholder:"NAME"`
}

// Help is shown by --help.
func (*userRoleCmd) Help() string {
	return `It acts on the next request, on all servers of the database.

Examples:

  onceover user set-role alice --role admin
  onceover user set-role bob --role operator --enterprise-project 0 --enterprise-project payments`
}

// Run sets the role.
func (c *userRoleCmd) Run(ctx context.Context, _ streams) error {
	return c.inProject(ctx, c.projectFlag, func(b *books, p auth.Project) error {
		granted, err := b.grants(ctx, p.ID, c.Enterprise)
		if err != nil {
			return err
		}
		return b.SetRole(ctx, p.ID, c.Name, auth.Role(c.Role), granted)
	})
}
