// Package fleet is the protocol between agents and the server: its types, the
// client that agents use, and the handlers that serve it.
//
// Agents bring facts and carry no state that matters. An agent enrols once and
// gets a key pair; from then on it keeps one sync request parked at the
// server, which is its heartbeat, brings its list of images when that changed,
// and comes back with jobs or stops. A job is a lease on one image: the agent
// asks which layer reports the server lacks, sends those, and finishes the job
// with the report of the image. Whatever is cut off on the way is done again:
// every request may be repeated.
//
// Bodies are JSON, compressed with zstd where it pays, signed as package auth
// has it. The server trusts an agent to be one of the fleet and nothing else:
// every size and every text it sends is bounded here before package store
// sees it.
package fleet
