// Package agent is what runs on each host: it lists the images that the
// engines here hold, takes jobs from the server, reads the layers that no
// agent of the fleet has read yet, and sends what it found.
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
