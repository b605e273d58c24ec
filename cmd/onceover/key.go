package main

import (
	"context"
	"errors"
	"time"

	"github.com/onceover/onceover/internal/auth"
)

// keyCmd is "onceover key".
type keyCmd struct {
	Create  keyCreateCmd  `cmd:"" help:"Make an access key of a user, and print it."`
	List    keyListCmd    `cmd:"" help:"List the access keys of the users of a project."`
	Rotate  keyRotateCmd  `cmd:"" help:"Make another key in the place of one, which ends later."`
	Disable keyDisableCmd `cmd:"" help:"Close an access key."`
	Enable  keyEnableCmd  `cmd:"" help:"Open an access key again."`
	Delete  keyDeleteCmd  `cmd:"" help:"Take an access key away."`
}

// madeKey is a key that is shown this once.
type madeKey struct {
	AccessKey string `json:"access_key"`
	SecretKey string `json:"secret_key"`
	ProjectID string `json:"project_id"`
	User      string `json:"user"`
	Expires   string `json:"expires,omitempty"`
}

// made prints a new key; the table is what credentials.env looks like.
func (s streams) made(format string, k auth.Key) error {
	m := madeKey{k.AK, k.Secret, k.ProjectID, k.User, formatMillis(k.ExpiresAt)}
	if format == "json" {
		return writeJSON(s.Out, map[string]any{"schema_version": 1, "key": m})
	}
	return s.lines(envAK+"="+m.AccessKey, envSK+"="+m.SecretKey, envProject+"="+m.ProjectID)
}

type keyCreateCmd struct {
	User        string        `arg:"" help:"Name of the user."`
	TTL         time.Duration `name:"ttl" help:"How long the key is good, 0 for ever." default:"0" placeholder:"DURATION"`
	projectFlag `embed:""`
	booksFlags  `embed:""`
	formatFlag  `embed:""`
}

// Help is shown by --help.
func (*keyCreateCmd) Help() string {
	return `The secret key is printed this once, in the form of credentials.env.

Examples:

  onceover key create alice > alice.env
  onceover key create ci --ttl 2160h --format json`
}

// AfterApply checks the flags.
func (c *keyCreateCmd) AfterApply() error { return checkTTL("--ttl", c.TTL) }

// Run makes the key.
func (c *keyCreateCmd) Run(ctx context.Context, std streams) error {
	return c.inProject(ctx, c.projectFlag, func(b *books, p auth.Project) error {
		k, err := b.CreateKey(ctx, p.ID, c.User, c.TTL)
		if err != nil {
			return err
		}
		return std.made(c.Format, k)
	})
}

func checkTTL(flag string, d time.Duration) error {
	if d < 0 {
		return errors.New(flag + ": want 0 or more")
	}
	return nil
}

type keyListCmd struct {
	projectFlag `embed:""`
	booksFlags  `embed:""`
	formatFlag  `embed:""`
}

// Help is shown by --help.
func (*keyListCmd) Help() string {
	return `The time of last use is written down once a minute.

Examples:

  onceover key list
  onceover key list --project shop --format json`
}

type listedKey struct {
	AccessKey string `json:"access_key"`
	User      string `json:"user"`
	Disabled  bool   `json:"disabled"`
	Created   string `json:"created"`
	Expires   string `json:"expires,omitempty"`
	LastUsed  string `json:"last_used,omitempty"`
}

// Run lists.
func (c *keyListCmd) Run(ctx context.Context, std streams) error {
	return c.inProject(ctx, c.projectFlag, func(b *books, p auth.Project) error {
		all, err := b.UserKeys(ctx, p.ID)
		if err != nil {
			return err
		}
		list, rows, now := []listedKey{}, [][]string{}, time.Now().UnixMilli()
		for _, k := range all {
			l := listedKey{k.AK, k.User, k.Disabled, formatMillis(k.CreatedAt), formatMillis(k.ExpiresAt), formatMillis(k.LastUsed)}
			list = append(list, l)
			state := word(k.Disabled, "disabled", word(k.ExpiresAt != 0 && k.ExpiresAt <= now, "expired", "active"))
			rows = append(rows, []string{l.AccessKey, l.User, state, l.Created, l.Expires, l.LastUsed})
		}
		if c.Format == "json" {
			return writeJSON(std.Out, oneOrAll("keys", list))
		}
		return std.table("ACCESS KEY\tUSER\tSTATE\tCREATED\tEXPIRES\tLAST USED", rows)
	})
}

type keyRotateCmd struct {
	AK         string        `arg:"" name:"access-key" help:"The key to be replaced."`
	Overlap    time.Duration `help:"How long the old key is good yet; default ${default}." default:"24h" placeholder:"DURATION"`
	TTL        time.Duration `name:"ttl" help:"How long the new key is good, 0 for ever." default:"0" placeholder:"DURATION"`
	booksFlags `embed:""`
	formatFlag `embed:""`
}

// Help is shown by --help.
func (*keyRotateCmd) Help() string {
	return `Both keys work until the overlap has passed, so that clients can go over one by one.

Examples:

  onceover key rotate AKAKAKAKAKAKAKAKAKAK > alice.env
  onceover key rotate AKAKAKAKAKAKAKAKAKAK --overlap 0s --ttl 2160h`
}

// AfterApply checks the flags.
func (c *keyRotateCmd) AfterApply() error {
	return errors.Join(checkTTL("--overlap", c.Overlap), checkTTL("--ttl", c.TTL))
}

// Run rotates.
func (c *keyRotateCmd) Run(ctx context.Context, std streams) error {
	return c.with(ctx, func(b *books) error {
		k, err := b.RotateKey(ctx, c.AK, c.Overlap, c.TTL)
		if err != nil {
			return err
		}
		return std.made(c.Format, k)
	})
}

// keyFlags name a key.
type keyFlags struct {
	AK         string `arg:"" name:"access-key" help:"The key."`
	booksFlags `embed:""`
}

type keyDisableCmd struct{ keyFlags }

// Help is shown by --help.
func (*keyDisableCmd) Help() string {
	return `It acts on the next request, on all servers of the database; tokens and temporary keys of the key end with it.

Examples:

  onceover key disable AKAKAKAKAKAKAKAKAKAK`
}

// Run disables.
func (c *keyDisableCmd) Run(ctx context.Context, _ streams) error {
	return c.with(ctx, func(b *books) error { return b.Admin.SetKeyDisabled(ctx, c.AK, true) })
}

type keyEnableCmd struct{ keyFlags }

// Help is shown by --help.
func (*keyEnableCmd) Help() string {
	return `Examples:

  onceover key enable AKAKAKAKAKAKAKAKAKAK`
}

// Run enables.
func (c *keyEnableCmd) Run(ctx context.Context, _ streams) error {
	return c.with(ctx, func(b *books) error { return b.Admin.SetKeyDisabled(ctx, c.AK, false) })
}

type keyDeleteCmd struct{ keyFlags }

// Help is shown by --help.
func (*keyDeleteCmd) Help() string {
	return `Examples:

  onceover key delete AKAKAKAKAKAKAKAKAKAK`
}

// Run deletes.
func (c *keyDeleteCmd) Run(ctx context.Context, _ streams) error {
	return c.with(ctx, func(b *books) error { return b.DeleteKey(ctx, c.AK) })
}
