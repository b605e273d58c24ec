package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/term"

	"github.com/onceover/onceover/internal/advisory"
	"github.com/onceover/onceover/internal/minisign"
)

// maxKeyFile bounds the files of keys and passwords.
const maxKeyFile = 16 << 10

// trustFlags say whose bundles are taken.
type trustFlags struct {
	Key  []string `help:"Trust what this public key has signed, and nothing that is not signed: a file, or the key itself; repeatable." placeholder:"KEY" env:"ONCEOVER_DB_KEY"`
	Keys string   `help:"Trust the public keys in DIR, the files that end in .pub." placeholder:"DIR" type:"path" env:"ONCEOVER_DB_KEYS"`
}

// load reads the keys. A directory without any is a mistake: nothing would be
// checked.
func (f trustFlags) load() ([]minisign.PublicKey, error) {
	var keys []minisign.PublicKey
	files := slices.Clone(f.Key)
	if f.Keys != "" {
		entries, err := os.ReadDir(f.Keys)
		if err != nil {
			return nil, usagef("--keys: %w", err)
		}
		n := len(files)
		for _, e := range entries {
			if filepath.Ext(e.Name()) == ".pub" {
				files = append(files, filepath.Join(f.Keys, e.Name()))
			}
		}
		if len(files) == n {
			return nil, usagef("--keys: no file in %s ends in .pub", f.Keys)
		}
	}
	for _, name := range files {
		text := []byte(name)
		if _, err := os.Stat(name); err == nil {
			if text, err = readSmall(name); err != nil {
				return nil, err
			}
		}
		key, err := minisign.ParsePublicKey(text)
		if err != nil {
			return nil, usagef("%s is neither the file of a public key nor one itself: %w", name, err)
		}
		keys = append(keys, key)
	}
	return keys, nil
}

func readSmall(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err == nil && len(b) > maxKeyFile {
		err = fmt.Errorf("%s has more than %d bytes", path, maxKeyFile)
	}
	return b, err
}

// dbImportCmd is "onceover db import".
type dbImportCmd struct {
	File          string `arg:"" help:"Bundle or database file." type:"existingfile"`
	To            string `help:"Where to put it. Default: ${database_file}." placeholder:"FILE" type:"path" env:"ONCEOVER_DB"`
	AllowUnsigned bool   `help:"Take a bundle without a proof of where it comes from, if no key is given."`

	Trust    trustFlags `embed:""`
	keepFlag `embed:""`
}

// Help is shown by --help.
func (*dbImportCmd) Help() string {
	return `The file is checked before it replaces the database that is there. With a key, FILE.minisig has to be a signature of it by this key. A bundle that holds changes only needs the database it starts from, the one in use or one that is kept beside it.

Examples:

  onceover db import /media/usb/advisories.bundle --key mirror.pub
  onceover db import /media/usb/advisories.db`
}

// Run imports.
func (c *dbImportCmd) Run(ctx context.Context, std streams) error {
	to := cmp.Or(c.To, databaseFile())
	keys, err := c.Trust.load()
	if err != nil {
		return err
	}
	if err := makeParent(to); err != nil {
		return err
	}
	res, err := advisory.Import(ctx, advisory.ImportOptions{
		File: c.File, To: to, Keys: keys, AllowUnsigned: c.AllowUnsigned, Keep: c.count()})
	if err != nil {
		return err
	}
	if res.SignedBy != "" {
		std.notice("signed by key %s", res.SignedBy)
	} else if res.Bundle {
		std.notice("warning: nobody vouches for this bundle: it was taken unsigned")
	}
	if res.Older {
		std.notice("warning: its newest record is older than that of the database before: 'onceover db rollback' goes back")
	}
	if res.Unchanged {
		std.notice("%s is up to date: it is generation %.12s already", to, res.Meta.ID)
		return nil
	}
	std.notice("%s", builtText(to, res.Meta))
	return nil
}

// dbExportCmd is "onceover db export".
type dbExportCmd struct {
	To           string `required:"" help:"Bundle to write." placeholder:"FILE" type:"path"`
	Since        string `help:"Hold only what changed since this generation: a file, or the id of one that is kept, or its beginning." placeholder:"GENERATION|FILE"`
	Sign         string `help:"Sign the bundle with this secret key, into FILE.minisig." placeholder:"KEYFILE" type:"path" env:"ONCEOVER_DB_SIGN"`
	PasswordFile string `help:"Read the password of the secret key from FILE. Without this it is asked for, if the key has one." placeholder:"FILE" type:"path"`
	DB           string `name:"db" help:"Database file. Default: ${database_file}." placeholder:"FILE" type:"path" env:"ONCEOVER_DB"`
}

// Help is shown by --help.
func (*dbExportCmd) Help() string {
	return `Keys and signatures are those of minisign, which can check them without this program.

Examples:

  onceover db export --to advisories.bundle --sign mirror.key
  onceover db export --to monday.bundle --since 3f9a2c1d --sign mirror.key`
}

// Run exports.
func (c *dbExportCmd) Run(ctx context.Context, std streams) error {
	o := advisory.ExportOptions{From: cmp.Or(c.DB, databaseFile()), To: c.To}
	var err error
	if c.Since != "" {
		if o.Since, err = generationFile(o.From, c.Since); err != nil {
			return err
		}
	}
	if c.Sign != "" {
		key, err := readSecretKey(c.Sign, c.PasswordFile, std)
		if err != nil {
			return err
		}
		o.Sign = &key
	}
	if err := makeParent(c.To); err != nil {
		return err
	}
	h, err := advisory.Export(ctx, o)
	if err != nil {
		return err
	}
	what := "generation " + h.Generation[:12]
	if h.Base != "" {
		what += " since " + h.Base[:12]
	}
	std.notice("%s: %s, %s", c.To, what, bytesText(h.Size))
	if o.Sign == nil {
		std.notice("the bundle is not signed: --sign does, and 'onceover db keygen' makes a key for it")
	} else {
		std.notice("%s: signed by key %v", c.To+advisory.SignatureSuffix, o.Sign.Public().ID)
	}
	return nil
}

func readSecretKey(path, passwordFile string, std streams) (minisign.SecretKey, error) {
	text, err := readSmall(path)
	if err != nil {
		return minisign.SecretKey{}, fmt.Errorf("read secret key: %w", err)
	}
	return minisign.ParseSecretKey(text, func() ([]byte, error) {
		if passwordFile != "" {
			b, err := readSmall(passwordFile)
			if err != nil {
				return nil, fmt.Errorf("read password: %w", err)
			}
			return bytes.TrimRight(b, "\r\n"), nil
		}
		in := int(os.Stdin.Fd())
		if !term.IsTerminal(in) {
			return nil, usagef("%s has a password: give it with --password-file", path)
		}
		fmt.Fprintf(std.Err, "password of %s: ", path)
		b, err := term.ReadPassword(in)
		fmt.Fprintln(std.Err)
		return b, err
	})
}

// dbKeygenCmd is "onceover db keygen".
type dbKeygenCmd struct {
	Name string `arg:"" help:"Write the keys to NAME.key and NAME.pub." type:"path"`
}

// Help is shown by --help.
func (*dbKeygenCmd) Help() string {
	return `NAME.key signs and stays where bundles are made; it has no password. NAME.pub checks and goes to everyone who imports them. Both are in the format of minisign.

Examples:

  onceover db keygen mirror`
}

// Run makes keys. It overwrites none.
func (c *dbKeygenCmd) Run(std streams) error {
	key, err := minisign.Generate()
	if err != nil {
		return err
	}
	for _, f := range []struct {
		name string
		text []byte
		mode os.FileMode
	}{{c.Name + ".key", key.Encode(), 0o600}, {c.Name + ".pub", key.Public().Encode(), 0o644}} {
		out, err := os.OpenFile(f.name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, f.mode)
		if err != nil {
			return fmt.Errorf("write key: %w", err)
		}
		_, err = out.Write(f.text)
		if err := errors.Join(err, out.Close()); err != nil {
			return fmt.Errorf("write key: %w", err)
		}
		std.notice("%s written", f.name)
	}
	return nil
}
