package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/onceover/onceover/internal/store"
)

// enrollKeyCmd is "onceover enroll-key".
type enrollKeyCmd struct {
	Data     string        `help:"Data directory of the server. Default: as for the server." placeholder:"DIR" type:"path" env:"ONCEOVER_DATA"`
	Database string        `help:"PostgreSQL database of the server, if it has one." placeholder:"postgres://..." env:"ONCEOVER_DATABASE"`
	Uses     int           `help:"How many agents the key enrols." default:"1"`
	TTL      time.Duration `name:"ttl" help:"How long the key is good; default ${default}, 0 for ever." default:"24h" placeholder:"DURATION"`

	Seal sealFlag `embed:""`
}

// Help is shown by --help.
func (*enrollKeyCmd) Help() string {
	return `Makes a key with which agents of further hosts enrol, and prints it. Run it on the server's host; the server may be running.

Examples:

  onceover enroll-key
  onceover enroll-key --uses 50 --ttl 1h`
}

// Validate checks the flags.
func (c *enrollKeyCmd) Validate() error {
	if c.Uses < 1 {
		return errors.New("--uses: want at least 1")
	}
	if c.TTL < 0 {
		return errors.New("--ttl: want 0 or more")
	}
	return checkDatabase(c.Database)
}

// Run prints the key.
func (c *enrollKeyCmd) Run(ctx context.Context, std streams) error {
	if c.Data == "" {
		dir, err := defaultStateDir()
		if err != nil {
			return err
		}
		c.Data = dir
	}
	if _, err := os.Stat(filepath.Join(c.Data, store.FileName)); c.Database == "" && errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("there is no server's database in %s: start the server once, or say --data DIR", c.Data)
	}
	seal, err := c.Seal.read(c.Data)
	if err != nil {
		return err
	}
	st, err := store.Open(ctx, store.Config{
		URL: c.Database, DataDir: c.Data, SealKey: seal.key,
	})
	if err != nil {
		return err
	}
	defer st.Close()
	if err := seal.check(ctx, st); err != nil {
		return err
	}
	p, err := st.FirstProject(ctx)
	if err != nil {
		return err
	}
	key, err := st.CreateEnrollKey(ctx, p.ID, c.Uses, c.TTL)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(std.Out, key)
	return err
}
