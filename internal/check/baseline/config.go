package baseline

import (
	"encoding/json"
	"fmt"
	"maps"
	"path"
	"slices"
	"strings"
)

// A Config is what rules may ask of an image configuration. Values of variables
// are kept only where the name says that they are no secret.
type Config struct {
	// User as configured; Root says that it is root: "", "root" or 0.
	User string `json:"user"`
	Root bool   `json:"root"`
	// Env are the variables, in order.
	Env []Variable `json:"env"`
	// Ports are as "22/tcp", sorted.
	Ports []string `json:"ports"`
	// Volumes are the declared ones, sorted.
	Volumes []string `json:"volumes"`
	// Healthcheck is "", "none" (turned off) or "set".
	Healthcheck string `json:"healthcheck"`
	WorkingDir  string `json:"working_dir"`
	StopSignal  string `json:"stop_signal"`
	// Programs are the base names of the first word of entry point and
	// command. Arguments may hold secrets and are not kept.
	Programs []string `json:"programs"`
	// ShellForm says that the entry point is a shell with a command, which
	// takes the signals in the place of the program.
	ShellForm bool `json:"shell_form"`
	// Labels are the names of labels, sorted.
	Labels []string `json:"labels"`
	// OnBuild counts the triggers.
	OnBuild int `json:"on_build"`
}

// A Variable is one variable of the environment.
type Variable struct {
	Name string `json:"name"`
	// Set says that the value is not empty.
	Set bool `json:"set"`
	// Value is kept of a few well-known variables.
	Value string `json:"value"`
	// Secret says that the name is one of a secret.
	Secret bool `json:"secret"`
	// Credentials says that the value is a URL with a password in it.
	Credentials bool `json:"credentials"`
}

// openVariables are those whose value is kept.
var openVariables = set("PATH", "LD_PRELOAD", "LD_LIBRARY_PATH", "NODE_TLS_REJECT_UNAUTHORIZED", "PYTHONHTTPSVERIFY", "GIT_SSL_NO_VERIFY",
	"DEBIAN_FRONTEND", "ALLOW_EMPTY_PASSWORD", "MYSQL_ALLOW_EMPTY_PASSWORD", "MARIADB_ALLOW_EMPTY_ROOT_PASSWORD",
	"POSTGRES_HOST_AUTH_METHOD", "HOME", "LANG", "GOINSECURE", "GONOSUMDB", "GOFLAGS", "NPM_CONFIG_STRICT_SSL", "PIP_TRUSTED_HOST",
	"ASPNETCORE_ENVIRONMENT", "FLASK_DEBUG", "FLASK_ENV", "DJANGO_DEBUG", "NODE_ENV", "RAILS_ENV")

// maxConfigItems is how many of each are kept.
const maxConfigItems = 1024

// ParseConfig reads an OCI or docker image configuration. The caller bounds its
// size (image.MaxConfigBytes).
func ParseConfig(b []byte) (*Config, error) {
	var raw struct {
		Config struct {
			User         string
			Env          []string
			ExposedPorts map[string]struct{}
			Volumes      map[string]struct{}
			Healthcheck  *struct{ Test []string }
			WorkingDir   string
			StopSignal   string
			Entrypoint   []string
			Cmd          []string
			Labels       map[string]string
			OnBuild      []string
		} `json:"config"`
	}
	if err := json.Unmarshal(b, &raw); err != nil {
		return nil, fmt.Errorf("parse image configuration: %w", err)
	}
	in := raw.Config
	c := &Config{
		User: clip(in.User), WorkingDir: clip(in.WorkingDir), StopSignal: clip(in.StopSignal), OnBuild: len(in.OnBuild),
		Env: []Variable{}, Programs: []string{},
		Ports: names(maps.Keys(in.ExposedPorts)), Volumes: names(maps.Keys(in.Volumes)), Labels: names(maps.Keys(in.Labels)),
	}
	user, _, _ := strings.Cut(in.User, ":")
	c.Root = user == "" || user == "root" || strings.Trim(user, "0") == ""
	for _, e := range in.Env[:min(len(in.Env), maxConfigItems)] {
		c.Env = append(c.Env, variable(e))
	}
	if h := in.Healthcheck; h != nil && len(h.Test) > 0 {
		c.Healthcheck = "set"
		if h.Test[0] == "NONE" {
			c.Healthcheck = "none"
		}
	}
	for _, words := range [][]string{in.Entrypoint, in.Cmd} {
		if len(words) > 0 {
			c.Programs = append(c.Programs, clip(path.Base(words[0])))
		}
	}
	first := in.Entrypoint
	if len(first) == 0 {
		first = in.Cmd
	}
	c.ShellForm = len(first) == 3 && first[1] == "-c" && strings.HasSuffix(path.Base(first[0]), "sh") &&
		!strings.HasPrefix(strings.TrimSpace(first[2]), "exec ")
	return c, nil
}

func names(seq func(func(string) bool)) []string {
	out := []string{}
	for s := range seq {
		out = append(out, clip(s))
	}
	slices.Sort(out)
	return out[:min(len(out), maxConfigItems)]
}

func variable(e string) Variable {
	name, value, _ := strings.Cut(e, "=")
	v := Variable{Name: clip(name), Set: value != "", Secret: secretName(name), Credentials: urlWithPassword(value)}
	if openVariables[name] && !v.Credentials {
		v.Value = clip(value)
	}
	return v
}

// secretWords are ends of words in the names of secrets. notSecret are names
// that hold one and are not: paths, switches and public halves.
var (
	secretWords = []string{"PASSWORD", "PASSWD", "PASSPHRASE", "SECRET", "TOKEN", "APIKEY", "API_KEY", "ACCESS_KEY", "PRIVATE_KEY", "SECRET_KEY",
		"CREDENTIALS", "_PWD", "ACCESS_KEY_ID", "ENCRYPTION_KEY", "SIGNING_KEY"}
	notSecret = []string{"_FILE", "_PATH", "_DIR", "ALLOW_EMPTY", "PUBLIC", "_EXPIR", "_TTL", "_LENGTH", "_URL", "_ENDPOINT"}
)

func secretName(name string) bool {
	up := strings.ToUpper(name)
	for _, n := range notSecret {
		if strings.Contains(up, n) {
			return false
		}
	}
	for _, w := range secretWords {
		if strings.HasSuffix(up, w) {
			return true
		}
	}
	return false
}

// urlWithPassword reports "scheme://user:password@…".
func urlWithPassword(v string) bool {
	_, rest, ok := strings.Cut(v, "://")
	if !ok {
		return false
	}
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		rest = rest[:i]
	}
	i := strings.LastIndexByte(rest, '@')
	if i < 0 {
		return false
	}
	_, password, ok := strings.Cut(rest[:i], ":")
	return ok && password != "" && !strings.HasPrefix(password, "$")
}
