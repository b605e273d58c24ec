package main

import (
	"fmt"

	"github.com/onceover/onceover/test/fleetmodel"
)

// A loadedTask is a task of the history.
type loadedTask struct {
	id, state             string
	first, images, failed int
}

// taskTables are the tasks of a fleet: a thousand of which most are small, some
// of all images, and one that is running.
func taskTables(f *fleetmodel.Fleet) []table {
	var tasks []loadedTask
	for i := range 1000 {
		t := loadedTask{id: fmt.Sprintf("%08x-0000-8000-8000-000000000000", i), state: "finished", first: i * 37 % len(f.Images), images: 1 + i%150}
		switch {
		case i%400 == 399:
			t.first, t.images = 0, len(f.Images)
		case i == 500:
			t.state, t.images = "running", 2000
		}
		t.images = min(t.images, len(f.Images)-t.first)
		t.failed = t.images / 40
		tasks = append(tasks, t)
	}
	jobs := func(row func(t loadedTask, at, n int) []any) func(func([]any) error) error {
		return func(yield func([]any) error) error {
			for at, t := range tasks {
				for n := range t.images {
					if err := yield(row(t, at, n)); err != nil {
						return err
					}
				}
			}
			return nil
		}
	}
	jobID := func(t loadedTask, n int) string { return fmt.Sprintf("%s%06x", t.id[:30], n) }
	return []table{
		{"scan_task", "id, project_id, name, task_type, state, scan_scope, rate_limit, is_all, total_num, success_num, failed_num, risky_num, failed_reason, created_at, ended_at", each(len(tasks), func(i int) []any {
			t := tasks[i]
			kind, done, ended := "manual", int64(t.images), loadedAt+int64(i)*60_000+30_000
			if i%5 == 0 {
				kind = "cycle"
			}
			if t.state == "running" {
				done, ended = done/2, 0
			}
			return []any{t.id, benchProject, fmt.Sprintf("%s_%d", kind, i), kind, t.state, int64(0x7fffffff), int64(0), int64(0), int64(t.images), done - int64(t.failed), int64(t.failed), int64(t.images / 3), "", loadedAt + int64(i)*60_000, ended}
		})},
		{"scan_job", "id, task_id, project_id, content_id, state, agent_id, lease_until, attempts, not_before, failure, message, created_at, ended_at", jobs(func(t loadedTask, at, n int) []any {
			state, failure := "done", ""
			switch {
			case n < t.failed:
				state, failure = "failed", "unreadable"
			case t.state == "running" && n%2 == 1:
				state = "waiting"
			}
			return []any{jobID(t, n), t.id, benchProject, int64(t.first + n + 1), state, "", int64(0), int64(1), int64(0), failure, "", loadedAt + int64(at), loadedAt + int64(at)}
		})},
		{"task_image", "task_id, image_id, job_id, name, version", jobs(func(t loadedTask, _, n int) []any {
			m := f.Images[t.first+n]
			return []any{t.id, imageID(t.first + n), jobID(t, n), m.Name, m.Tag}
		})},
		logTable(f),
	}
}

// loggedEvents is as much as the log of a project keeps.
const loggedEvents = 20_000

// logTable is a full image log: what agents report, and requests of clients now
// and then.
func logTable(f *fleetmodel.Fleet) table {
	return table{"image_log", "project_id, id, at, event_type, event_name, resource_type, resource_name, source_ip, user_name, content", each(loggedEvents, func(i int) []any {
		h, m := i%len(f.Hosts), f.Images[i*7%len(f.Images)]
		kind, name, ip, user := "scan", "scan_succeeded", fmt.Sprintf("10.%d.%d.%d", h>>16, h>>8&255, h&255), fmt.Sprintf("agent node-%05d", h)
		switch {
		case i%20 == 0:
			name, ip, user = "scan_requested", "192.0.2.1", fmt.Sprintf("user%d", i%12)
		case i%3 == 0:
			kind, name = "image", "image_appeared"
		}
		return []any{benchProject, int64(i + 1), loadedAt - int64(loggedEvents-i)*12_000, kind, name, "image", m.Name + ":" + m.Tag, ip, user, "About " + m.Name + "."}
	})}
}
