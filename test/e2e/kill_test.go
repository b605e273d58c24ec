package e2e

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

const familySize = 12

// finished checks that every image was scanned once: twelve successes of
// twelve, counted once each in the one task there is.
func finished(t *testing.T, s *server) {
	t.Helper()
	images := s.awaitImages(familySize, "scanned", succeeded)
	if len(images) != familySize {
		t.Fatalf("%d images", len(images))
	}
	for _, img := range images {
		if img.VulNum != 2 || img.ComponentNum != 3 {
			t.Errorf("%s: %d vulnerabilities in %d components, want 2 in 3", img.Name, img.VulNum, img.ComponentNum)
		}
	}
	tasks := s.tasks()
	if len(tasks) != 1 || tasks[0] != (task{Status: 100, Total: familySize, Success: familySize}) {
		t.Errorf("tasks %+v, want one with %d of %d", tasks, familySize, familySize)
	}
}

// midway waits until the scan is well under way.
func midway(t *testing.T, s *server) {
	t.Helper()
	images := s.awaitImages(3, "scanned", succeeded)
	left := 0
	for _, img := range images {
		if !succeeded(img) {
			left++
		}
	}
	if left < 3 {
		t.Fatalf("only %d images are left to be cut off: the scan was too quick for this test", left)
	}
}

func TestKillServerInTheMiddle(t *testing.T) {
	data := filepath.Join(t.TempDir(), "data")
	layout := "oci:" + writeLayout(t, family(familySize)...)
	s := startServer(t, data, "--no-engines", "--archive", layout)
	s.awaitImages(familySize, "known", func(localImage) bool { return true })
	s.scanAll()
	midway(t, s)
	s.kill()

	again := startServer(t, data, "--no-engines", "--archive", layout)
	if again.ak != s.ak || again.sk != s.sk || again.project != s.project {
		t.Error("the credentials changed")
	}
	finished(t, again)
	again.terminate()
	if code := again.end(30 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

func TestKillAgentInTheMiddle(t *testing.T) {
	s := startServer(t, filepath.Join(t.TempDir(), "data"), "--no-agent")
	state := filepath.Join(t.TempDir(), "agent")
	args := []string{"agent", "--server", s.url, "--data", state, "--no-engines", "--archive", "oci:" + writeLayout(t, family(familySize)...)}
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte(s.enrollKey+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	first := start(t, append(args, "--enroll-key-file", key)...)
	s.awaitImages(familySize, "known", func(localImage) bool { return true })
	s.scanAll()
	midway(t, s)
	first.kill()

	second := start(t, args...) // without the key: it is enrolled
	finished(t, s)
	second.terminate()
	if code := second.end(30 * time.Second); code != 0 {
		t.Errorf("exit code %d", code)
	}
}
