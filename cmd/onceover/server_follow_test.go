package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/onceover/onceover/internal/auth"
	"github.com/onceover/onceover/internal/fleet"
	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/internal/store"
)

// A server ends at once, whoever listens to a task that goes on.
func TestServerEndsWhileSomeoneListens(t *testing.T) {
	t.Setenv("XDG_DATA_HOME", t.TempDir())
	data := t.TempDir()
	buildAdvisories(t, filepath.Join(data, advisoryFile), 1)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	c := &serverCmd{Listen: "127.0.0.1:0", Data: data, NoAgent: true, Jobs: 1, Sample: "never"}
	c.Engines.NoEngines = true
	ended := make(chan error, 1)
	go func() { ended <- c.Run(ctx, streams{io.Discard, io.Discard}) }()
	var values map[string]string
	eventually(t, "the server starts", func() (ok bool) {
		var err error
		values, err = readEnvFile(filepath.Join(data, credentialsFile))
		return err == nil && values[envEndpoint] != ""
	})

	// A host that does no work, planted beside the server.
	seal, err := sealFlag{}.read(data)
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.Open(t.Context(), store.Config{DataDir: data, SealKey: seal.key})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	enrollKey, err := st.CreateEnrollKey(t.Context(), values[envProject], 1, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	host, now := fleet.Host{ID: "h", Name: "h"}, time.Now().UnixMilli()
	enrolled, err := st.Enroll(t.Context(), fleet.EnrollRequest{EnrollKey: enrollKey, Host: host}, now)
	if err != nil {
		t.Fatal(err)
	}
	agent, err := st.Key(t.Context(), enrolled.AccessKey)
	if err != nil {
		t.Fatal(err)
	}
	images := []fleet.ImageState{{Engine: "docker", ConfigDigest: image.DigestOf([]byte("x")), Names: []image.Ref{{Name: "web", Tag: "1"}}}}
	if _, err := st.Sync(t.Context(), agent, fleet.SyncRequest{Host: host, ImagesHash: "1", Images: &images}, now); err != nil {
		t.Fatal(err)
	}
	task, err := st.Scan(t.Context(), values[envProject], store.ScanRequest{TaskType: store.TaskManual})
	if err != nil {
		t.Fatal(err)
	}

	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, values[envEndpoint]+"/v1/"+values[envProject]+"/scan-tasks/"+task+"/events", nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := auth.Sign(req, values[envAK], values[envSK], time.Now()); err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	for lines.Scan() && !strings.HasPrefix(lines.Text(), "data: ") {
	}
	if !strings.Contains(lines.Text(), `"state":"running"`) {
		t.Fatalf("%s: first event: %s", resp.Status, lines.Text())
	}
	began := time.Now()
	cancel()
	for lines.Scan() { // to the end of the stream
	}
	select {
	case err := <-ended:
		if took := time.Since(began); err != nil || took > drainTime/2 {
			t.Errorf("ended after %v: %v", took, err)
		}
	case <-time.After(drainTime):
		t.Error("does not end")
	}
}
