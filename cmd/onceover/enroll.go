package main

import (
	"context"
	"errors"
	"time"

	"github.com/onceover/onceover/internal/auth"
)

// enrollKeyCmd is "onceover enroll-key".
type enrollKeyCmd struct {
	Uses        int           `help:"How many agents the key enrols." default:"1"`
	TTL         time.Duration `name:"ttl" help:"How long the key is good; default ${default}, 0 for ever." default:"24h" placeholder:"DURATION"`
	Enterprise  string        `name:"enterprise-project" help:"Name or id of the enterprise project that the hosts belong to. Default: the default one." placeholder:"NAME"`
	projectFlag `embed:""`
	booksFlags  `embed:""`
}

// Help is shown by --help.
func (*enrollKeyCmd) Help() string {
	return `Makes a key with which agents of further hosts enrol, and prints it. Run it on the server's host; the server may be running.

Examples:

  onceover enroll-key
  onceover enroll-key --uses 50 --ttl 1h
  onceover enroll-key --project shop --enterprise-project payments`
}

// AfterApply checks the flags.
func (c *enrollKeyCmd) AfterApply() error {
	if c.Uses < 1 {
		return errors.New("--uses: want at least 1")
	}
	return checkTTL("--ttl", c.TTL)
}

// Run prints the key.
func (c *enrollKeyCmd) Run(ctx context.Context, std streams) error {
	return c.inProject(ctx, c.projectFlag, func(b *books, p auth.Project) error {
		ep, err := b.enterprise(ctx, p.ID, c.Enterprise)
		if err != nil {
			return err
		}
		key, err := b.Admin.CreateEnrollKey(ctx, p.ID, ep, c.Uses, c.TTL)
		if err != nil {
			return err
		}
		return std.lines(key)
	})
}
