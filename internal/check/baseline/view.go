package baseline

// The types below are what expressions see (docs/baseline.md lists them). Names
// of fields in expressions are those in JSON.
type (
	// A System is the distribution.
	System struct {
		ID      string `json:"id"`
		Version string `json:"version"`
		Family  string `json:"family"`
	}
	// A Node is one file by mode and owner. Perm is octal: "0644". Owner
	// and Group are names where the image knows them, else numbers.
	Node struct {
		Path  string `json:"path"`
		Perm  string `json:"perm"`
		Owner string `json:"owner"`
		Group string `json:"group"`
		UID   int    `json:"uid"`
		GID   int    `json:"gid"`
		Size  int64  `json:"size"`
		Dir   bool   `json:"dir"`
	}
	// SSHD is sshd_config with what it includes. Options are those outside
	// of Match, names in lower case, the first of each; those that add up are
	// joined by blanks. Match are the names set within Match, with value.
	SSHD struct {
		Options map[string]string `json:"options"`
		Match   []string          `json:"match"`
	}
	// PAM is the shared stack: common-* of Debian, system-auth and
	// password-auth of Red Hat, base-* of Alpine.
	PAM struct {
		Auth     []PAMRule `json:"auth"`
		Account  []PAMRule `json:"account"`
		Password []PAMRule `json:"password"`
		Session  []PAMRule `json:"session"`
		// Quality, Lockout and History are the options of the module that
		// checks new passwords, that locks out, that remembers; those of the
		// module's own file, and over them the arguments in the stack. The
		// module is "" if the stack has none.
		QualityModule string            `json:"quality_module"`
		Quality       map[string]string `json:"quality"`
		LockoutModule string            `json:"lockout_module"`
		Lockout       map[string]string `json:"lockout"`
		HistoryModule string            `json:"history_module"`
		History       map[string]string `json:"history"`
		// Unix are the arguments of pam_unix.so for passwords.
		Unix []string `json:"unix"`
	}
	// Limit is a line of limits.conf.
	Limit struct {
		Domain string `json:"domain"`
		Type   string `json:"type"`
		Item   string `json:"item"`
		Value  string `json:"value"`
	}
	// Profile is what /etc/profile, profile.d and bashrc set.
	Profile struct {
		Umasks   []string `json:"umasks"`
		Timeouts []int    `json:"timeouts"`
	}
	// Sudo is sudoers with what it includes.
	Sudo struct {
		Grants []SudoRule `json:"grants"`
		// Defaults are all names of options, "name=value" where kept.
		Defaults []string `json:"defaults"`
	}
	// Banner is a file that is shown at login.
	Banner struct {
		Path    string   `json:"path"`
		Escapes []string `json:"escapes"`
		Text    bool     `json:"text"`
	}
	// Yum is the main section, and the repositories.
	Yum struct {
		Main  map[string]string `json:"main"`
		Repos []Repo            `json:"repos"`
	}
	// Repo is one repository of yum. URL holds the scheme.
	Repo struct {
		ID      string            `json:"id"`
		File    string            `json:"file"`
		Options map[string]string `json:"options"`
	}
	// APT is apt.conf with names in lower case, and the sources.
	APT struct {
		Options map[string]string `json:"options"`
		Sources []Source          `json:"sources"`
	}
	// Source is one source of apt.
	Source struct {
		File    string `json:"file"`
		Scheme  string `json:"scheme"`
		Trusted bool   `json:"trusted"`
	}
	// Nginx is nginx.conf with what it includes.
	Nginx struct {
		Main    map[string]string `json:"main"`
		HTTP    map[string]string `json:"http"`
		Servers []Server          `json:"servers"`
		// Directives are all, in order.
		Directives []Directive `json:"directives"`
	}
	// Server is one server block: its options over those of http, and the
	// headers that it adds, names in lower case.
	Server struct {
		Name    string            `json:"name"`
		Listens []string          `json:"listens"`
		TLS     bool              `json:"tls"`
		Options map[string]string `json:"options"`
		Headers map[string]string `json:"headers"`
	}
	// Redis is redis.conf. Password is "", "empty" or "set".
	Redis struct {
		Options  map[string]string `json:"options"`
		Password string            `json:"password"`
		Users    []RedisUser       `json:"users"`
		Renamed  []string          `json:"renamed"`
	}
	// RedisUser is a line of an ACL.
	RedisUser struct {
		Name        string `json:"name"`
		On          bool   `json:"on"`
		NoPass      bool   `json:"nopass"`
		AllCommands bool   `json:"all_commands"`
	}
	// MySQL is my.cnf with what it includes: the options of the server, and
	// the sections that hold a password for clients.
	MySQL struct {
		Options   map[string]string `json:"options"`
		Passwords []string          `json:"passwords"`
	}
	// Element is an element of one of Tomcat's files.
	Element struct {
		File       string            `json:"file"`
		Section    string            `json:"section"`
		Name       string            `json:"name"`
		Attributes map[string]string `json:"attributes"`
		// State is of the secret that it holds: "set", "empty", "default",
		// "user name".
		State string `json:"state"`
	}
	// TomcatWeb is the web.xml of the server: parameters of its servlets,
	// session timeout in minutes, and the elements.
	TomcatWeb struct {
		Params   map[string]string `json:"params"`
		Timeout  int               `json:"timeout"`
		Elements []Element         `json:"elements"`
	}
)

// Summary is the mode and owner for people.
func (n Node) Summary() string { return n.Perm + " " + n.Owner + ":" + n.Group }
