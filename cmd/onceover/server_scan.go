package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"text/tabwriter"
	"time"

	"github.com/onceover/onceover/internal/export"
	"github.com/onceover/onceover/internal/fault"
	"github.com/onceover/onceover/internal/report"
	"github.com/onceover/onceover/internal/store"
)

const (
	// scanScopeAll asks for every class of risk (HSS, scan_scope).
	scanScopeAll = 0x7fffffff
	// scanPollEvery is how often --scan-now looks whether it is done.
	scanPollEvery = 200 * time.Millisecond
	// scanWorst is how many vulnerabilities are shown below the images.
	scanWorst = 10
	// scanPage is how many images are read at once for the table.
	scanPage = 200
)

// scanNow queues a scan of all images of a project, waits for its end and
// prints what came out.
func scanNow(ctx context.Context, st *store.Store, project string, out io.Writer) error {
	task, err := st.Scan(ctx, project, store.ScanRequest{All: true, TaskType: store.TaskManual, Scope: scanScopeAll})
	if fault.CodeOf(err) == fault.NotFound {
		slog.InfoContext(ctx, "there are no images to scan")
		return nil
	}
	if err != nil {
		return fmt.Errorf("queue scan: %w", err)
	}
	slog.InfoContext(ctx, "scan of all images queued", "task", task)
	t := time.NewTicker(scanPollEvery)
	defer t.Stop()
	for {
		images, err := allImages(ctx, st, project)
		if err != nil {
			return err
		}
		busy := false
		for _, img := range images {
			busy = busy || img.NonScanReason == "" && (img.Status == store.StatusWaiting || img.Status == store.StatusScanning)
		}
		if !busy {
			if err := printImages(out, images); err != nil {
				return err
			}
			return printWorst(ctx, st, project, out)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-t.C:
		}
	}
}

func allImages(ctx context.Context, st *store.Store, project string) ([]store.Image, error) {
	var all []store.Image
	for {
		page, total, err := st.Images(ctx, project, store.ImageFilter{}, store.Page{Offset: int64(len(all)), Limit: scanPage})
		if err != nil {
			return nil, fmt.Errorf("list images: %w", err)
		}
		all = append(all, page...)
		if len(page) == 0 || int64(len(all)) >= total {
			return all, nil
		}
	}
}

// printImages writes the table. Names come from outside and are made fit for
// a terminal.
func printImages(out io.Writer, images []store.Image) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "IMAGE\tSTATUS\tPACKAGES\tVULNERABILITIES\tRISK\tIMAGE ID")
	for _, img := range images {
		status, packages, vuls := img.Status, fmt.Sprint(img.ComponentNum), fmt.Sprint(img.VulNum)
		switch {
		case img.NonScanReason != "":
			status = "cannot be scanned"
		case img.Status == store.StatusFailed:
			status = "failed: " + img.FailedDesc
		}
		if img.LatestScanTime == 0 {
			packages, vuls = "-", "-"
		}
		name := img.Name
		if img.Version != "" {
			name += ":" + img.Version
		}
		level := img.SeverityLevel
		if level == "" {
			level = "-"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", export.Printable(name), status, packages, vuls, level, img.ID)
	}
	if err := w.Flush(); err != nil {
		return errors.Join(errors.New("print images"), err)
	}
	return nil
}

// printWorst writes the vulnerabilities that matter most over all images.
func printWorst(ctx context.Context, st *store.Store, project string, out io.Writer) error {
	vuls, total, err := st.Vulnerabilities(ctx, project, store.VulFilter{}, store.Page{Limit: scanWorst})
	if err != nil {
		return fmt.Errorf("list vulnerabilities: %w", err)
	}
	if total == 0 {
		return nil
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintf(w, "\nVULNERABILITY\tSEVERITY\tIMAGES\tABOUT\n")
	for _, v := range vuls {
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\n", export.Printable(v.ID), report.SeverityName(v.Severity), v.ImageNum, firstWords(export.Printable(v.Summary)))
	}
	if int64(len(vuls)) < total {
		fmt.Fprintf(w, "and %d more\n", total-int64(len(vuls)))
	}
	if err := w.Flush(); err != nil {
		return errors.Join(errors.New("print vulnerabilities"), err)
	}
	return nil
}

// firstWords cuts s so that a row of the table stays a line.
func firstWords(s string) string {
	const most = 80
	r := []rune(s)
	if len(r) <= most {
		return s
	}
	return string(r[:most-1]) + "…"
}
