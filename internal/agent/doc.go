// Package agent is what runs on each host: it lists the images that the
// engines here hold, takes jobs from the server, reads the layers that no
// agent of the fleet has read yet, and sends what it found.
//
// Each source is followed on its own: listed when it tells of a change
// (image.Watcher), after a burst of them once, and otherwise now and then. An
// engine that does not answer keeps the images it had, since they are still on
// its disk, and holds up no other. At rest an agent sleeps: a sync is parked at
// the server for most of a minute.
//
// An agent keeps one thing on disk, its identity. Everything else it has it
// got from the engines or the server and gets again after a restart: a job that
// was cut off is given out anew. It holds no advisory data and draws no
// conclusions. It speaks to the server through fleet.Client alone, also where
// both live in one process.
//
// Image content is hostile. A job that panics fails with a message; the agent
// goes on.
package agent
