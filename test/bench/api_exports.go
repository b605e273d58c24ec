package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/onceover/onceover/internal/hss"
)

// exportSizes are the records of the exports that are measured: if an export took
// memory by its records, the second would take ten times as much.
var exportSizes = [2]int{100_000, 1_000_000}

const (
	// exportGrowth is how much larger the peak of the large export may be.
	exportGrowth = 1.5
	exportWait   = 20 * time.Minute
)

// An exported is an export that was made.
type exported struct {
	records int64
	took    time.Duration
	bytes   int64 // of the file as it is downloaded
	peak    int64 // resident memory of the server, bytes
}

// export has findings of all images exported, and downloads them.
func (d *driver) export(ctx context.Context, size int) (e exported, err error) {
	// The peak is counted anew from here on (proc(5)).
	if err := os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", d.server), []byte("5"), 0); err != nil {
		return e, err
	}
	begin := time.Now()
	var accepted hss.BatchExportLocalVulTaskResponse
	body, err := json.Marshal(hss.BatchExportLocalVulInfoRequestInfo{OperateAll: new(true)})
	if err != nil {
		return e, err
	}
	if err := d.ask200(ctx, http.MethodPost, fmt.Sprintf("/image/local-vulnerability/export?export_size=%d", size), body, &accepted); err != nil {
		return e, err
	}
	e.records = *accepted.RecordTotalNum
	var file string
	for file == "" {
		var task hss.ListQueryExportTaskResponse
		if err := d.ask200(ctx, http.MethodGet, "/export-task/"+*accepted.TaskId, nil, &task); err != nil {
			return e, err
		}
		switch {
		case task.TaskStatus != nil && *task.TaskStatus == "success":
			file = *task.FileId
		case task.TaskStatus != nil && *task.TaskStatus == "failure", time.Since(begin) > exportWait:
			return e, fmt.Errorf("an export of %d records: %+v after %v", size, task, time.Since(begin))
		}
		time.Sleep(100 * time.Millisecond)
	}
	e.took = time.Since(begin)
	var read bytes.Buffer
	status, _, err := d.send(ctx, http.MethodGet, "/v5/"+d.project+"/download/"+file, nil, &read)
	if err != nil || status != http.StatusOK {
		return e, fmt.Errorf("download an export: %d: %w", status, err)
	}
	e.bytes = int64(read.Len())
	e.peak, err = peakOf(d.server)
	return e, err
}

// ask200 makes a request that is to succeed; a nil answer is one without content.
func (d *driver) ask200(ctx context.Context, method, path string, body []byte, answer any) error {
	var read bytes.Buffer
	status, _, err := d.send(ctx, method, "/v5/"+d.project+path, body, &read)
	switch {
	case err != nil:
		return err
	case status != http.StatusOK:
		return fmt.Errorf("%s: %d: %s", path, status, read.String())
	case answer == nil:
		return nil
	}
	return json.Unmarshal(read.Bytes(), answer)
}

// exports measures exports, prints them, and is an error if the large one takes
// more memory than the small one.
func (d *driver) exports(ctx context.Context, out io.Writer) error {
	var made [len(exportSizes)]exported
	for i, size := range exportSizes {
		var err error
		if made[i], err = d.export(ctx, size); err != nil {
			return err
		}
		e := made[i]
		fmt.Fprintf(out, "export of %d findings: %.1f s, a file of %.1f MB, peak memory of the server %d MB\n", e.records, e.took.Seconds(), float64(e.bytes)/(1<<20), e.peak>>20)
	}
	if small, large := made[0], made[1]; float64(large.peak) > exportGrowth*float64(small.peak) {
		return fmt.Errorf("ten times the records take %d MB instead of %d", large.peak>>20, small.peak>>20)
	}
	return nil
}
