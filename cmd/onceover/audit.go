package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/onceover/onceover/internal/audit"
	"github.com/onceover/onceover/internal/store"
)

// auditCmd is "onceover audit".
type auditCmd struct {
	Since      time.Duration `help:"Entries of the last DURATION; default ${default}." default:"24h" placeholder:"DURATION"`
	User       string        `help:"Of this user." placeholder:"NAME"`
	AccessKey  string        `help:"Of this access key." placeholder:"AK"`
	Client     string        `help:"From this address." placeholder:"IP"`
	Operation  string        `help:"Of this operation, as the list shows it." placeholder:"NAME"`
	Project    string        `help:"Of this project, by name or id." placeholder:"PROJECT"`
	Refused    bool          `help:"What was refused alone."`
	Done       bool          `help:"What was not refused alone."`
	Limit      int64         `help:"At most N entries, the latest." default:"200" placeholder:"N"`
	booksFlags `embed:""`
	formatFlag `embed:""`
}

// Help is shown by --help.
func (*auditCmd) Help() string {
	return `Each write over the API, each change by the commands user, key, project, enterprise-project and enroll-key, and each request that was refused. A write that was under way when the server ended has no status: it may have been done or not. Refused requests that are alike are put together for some seconds.

Examples:

  onceover audit
  onceover audit --since 720h --user alice --format json
  onceover audit --refused --client 203.0.113.9`
}

// AfterApply checks the flags.
func (c *auditCmd) AfterApply() error {
	if c.Limit < 1 || c.Since <= 0 {
		return errors.New("--limit and --since: want more than 0")
	}
	if c.Refused && c.Done {
		return errors.New("--refused and --done exclude each other")
	}
	return nil
}

type listedEntry struct {
	ID                int64    `json:"id"`
	Time              string   `json:"time"`
	RequestID         string   `json:"request_id,omitempty"`
	User              string   `json:"user,omitempty"`
	AccessKey         string   `json:"access_key,omitempty"`
	Client            string   `json:"client"`
	Operation         string   `json:"operation,omitempty"`
	Project           string   `json:"project_id,omitempty"`
	EnterpriseProject string   `json:"enterprise_project_id,omitempty"`
	Objects           []string `json:"objects,omitempty"`
	Status            int      `json:"status,omitempty"`
	Refused           bool     `json:"refused"`
	Count             int64    `json:"count"`
}

// Run lists.
func (c *auditCmd) Run(ctx context.Context, std streams) error {
	return c.with(ctx, func(b *books) error {
		f := store.AuditFilter{Since: time.Now().Add(-c.Since).UnixMilli(), User: c.User, AK: c.AccessKey, Client: c.Client, Operation: c.Operation}
		if c.Project != "" {
			p, err := b.project(ctx, c.Project)
			if err != nil {
				return err
			}
			f.Project = p.ID
		}
		if c.Refused || c.Done {
			f.Refused = &c.Refused
		}
		list, rows := []listedEntry{}, [][]string{}
		err := b.Audit(ctx, f, c.Limit, func(e audit.Entry) error {
			l := listedEntry{e.ID, formatMillis(e.At), e.RequestID, e.User, e.AK, e.Client, e.Operation, e.Project, e.EnterpriseProject, e.Objects, e.Status, e.Refused, e.Count}
			status := ""
			if e.Status != 0 {
				status = strconv.Itoa(e.Status)
			}
			if e.Count > 1 {
				status += fmt.Sprintf(" (%d times)", e.Count)
			}
			list = append(list, l)
			rows = append(rows, []string{l.Time, l.User, l.AccessKey, l.Client, l.Operation, l.EnterpriseProject, status, strings.Join(l.Objects, " ")})
			return nil
		})
		if err != nil {
			return err
		}
		if c.Format == "json" {
			return writeJSON(std.Out, oneOrAll("entries", list))
		}
		return std.table("TIME\tUSER\tACCESS KEY\tCLIENT\tOPERATION\tENTERPRISE PROJECT\tSTATUS\tOBJECTS", rows)
	})
}
