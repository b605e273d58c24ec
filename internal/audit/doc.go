// Package audit keeps who did what: every write, and every request that was
// refused.
//
// Watch wraps the handlers of the server and gives each request a Note. The
// authenticator writes on it who asks, an API what is asked; a write calls
// Begin before it is done, so that a row stands in the ledger whatever happens
// then, and Watch puts the status to it when the request is answered, before
// the client sees the answer. A row without a status was under way when the
// server ended.
//
// Refused requests cost no transaction of their own, since anyone can make
// them: they are counted in memory, and Run writes them down every few seconds.
// The names in a Note are those of keys and users that exist, never what a
// stranger claims to be, and nothing of a body but the ids that it names.
package audit
