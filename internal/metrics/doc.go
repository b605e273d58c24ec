// Package metrics tells a Prometheus how the server does: how many requests of
// which operation it answers and how fast, and what stands in its store. It counts
// and shows; nothing in the product reads what it counts.
//
// No label has values that grow with what is stored: there are no projects, hosts,
// images or keys in them, only operations, statuses and states.
package metrics
