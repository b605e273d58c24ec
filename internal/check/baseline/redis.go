package baseline

import (
	"strings"
)

// redisValues are options of redis.conf whose arguments are kept.
var redisValues = set("bind", "port", "tls-port", "protected-mode", "timeout", "tcp-keepalive", "daemonize", "unixsocket", "unixsocketperm",
	"loglevel", "logfile", "syslog-enabled", "dir", "dbfilename", "databases", "appendonly", "maxclients", "maxmemory", "maxmemory-policy",
	"aclfile", "rename-command", "enable-protected-configs", "enable-debug-command", "enable-module-command", "tls-auth-clients",
	"tls-protocols", "tls-replication", "tls-cluster", "include", "save", "always-show-logo", "hide-user-data-from-log")

// redisSecrets are options whose value is a secret.
var redisSecrets = set("requirepass", "masterauth", "tls-key-file-pass", "tls-client-key-file-pass")

// parseRedis reads redis.conf: a name in any case, and quoted arguments.
func parseRedis(b []byte) ([]Directive, error) {
	out := []Directive{}
	var err error
	for line := range settingLines(b, &err, "#") {
		if len(out) == maxEntries {
			return out, tooMany("options")
		}
		words := splitWords(line)
		if len(words) == 0 {
			continue
		}
		d := Directive{Name: clip(strings.ToLower(words[0]))}
		switch args := words[1:]; {
		case redisSecrets[d.Name]:
			d.State = secretState(strings.Join(args, ""))
		case d.Name == "user":
			d.Args, d.State = redisUser(args)
		case d.Name == "rename-command" && len(args) == 2:
			// The new name works as a password: only whether there is one.
			d.Args, d.State = []string{clip(strings.ToLower(args[0]))}, secretState(args[1])
		case redisValues[d.Name]:
			d.Args = clipAll(args)
		}
		out = append(out, d)
	}
	return out, err
}

// redisUser keeps of an ACL line the name, on or off, and nopass and
// allcommands.
func redisUser(words []string) (args []string, state string) {
	if len(words) == 0 {
		return nil, ""
	}
	args = []string{clip(words[0])}
	state = "empty"
	for _, w := range words[1:] {
		switch w = strings.ToLower(w); {
		case w == "on" || w == "off" || w == "allkeys" || w == "allcommands":
			args = append(args, w)
		case w == "+@all":
			args = append(args, "allcommands")
		case w == "nopass":
			args, state = append(args, w), "nopass"
		case strings.HasPrefix(w, ">") || strings.HasPrefix(w, "#"):
			if state == "empty" {
				state = "set"
			}
		}
		if len(args) == maxArgs {
			break
		}
	}
	return args, state
}
