package baseline

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
)

// FactsVersion names the shape and meaning of facts. It is part of the key of
// a layer report: it changes whenever the same file would give other facts.
const FactsVersion = "baseline/1"

// Limits of one file.
const (
	// MaxFileBytes is the most that Facts reads of a file.
	MaxFileBytes = 1 << 20
	// maxLineBytes is the longest line that is understood.
	maxLineBytes = 16 << 10
	// maxEntries is how many lines, accounts, or elements of one file are
	// kept.
	maxEntries = 4096
	// maxArgs is how many arguments of a line are kept.
	maxArgs = 64
	// maxValueBytes is how much of one value is kept.
	maxValueBytes = 512
	// maxDepth is how deep blocks and elements may nest.
	maxDepth = 32
)

// ErrLimit is wrapped by the error of a file that crosses a limit. The facts
// that come with it hold what was read before.
var ErrLimit = errors.New("limit crossed")

// A Stat is what the layer says of a file.
type Stat struct {
	// Mode has the type, the permissions and the set-id bits.
	Mode fs.FileMode
	// UID and GID are the owner; -1 if the layer does not tell.
	UID, GID int
	// Size in bytes.
	Size int64
}

// A File is what one file of an image says, without its secrets. Which of the
// lists is filled depends on the path.
type File struct {
	Path string `json:"path"`
	// Mode holds permissions, set-id and sticky bits as stat(2) has them.
	Mode uint32 `json:"mode"`
	// Dir marks a directory.
	Dir  bool  `json:"dir,omitempty"`
	UID  int   `json:"uid"`
	GID  int   `json:"gid"`
	Size int64 `json:"size"`

	// Parsed says that the content was read and is what its path says.
	Parsed bool `json:"parsed,omitempty"`
	// Partial says that not all of the content was understood, because it
	// is damaged or crosses a limit. Rules about it are not verified.
	Partial bool `json:"partial,omitempty"`
	// Directives are the lines of an options file, in order.
	Directives []Directive `json:"directives,omitempty"`
	Accounts   []Account   `json:"accounts,omitempty"`
	Passwords  []Password  `json:"passwords,omitempty"`
	Groups     []Group     `json:"groups,omitempty"`
	PAM        []PAMRule   `json:"pam,omitempty"`
	Sudo       []SudoRule  `json:"sudo,omitempty"`
}

// A Directive is one option as it stands in a file. Args are kept only for
// options that hold no secret.
type Directive struct {
	// Section is the block or section around it: "match" in sshd_config,
	// "http/server/location" for nginx, "mysqld" in my.cnf, the path of
	// elements in XML.
	Section string `json:"section,omitempty"`
	// Block numbers the innermost server block of nginx, or the element of
	// an XML file, from 1; 0 is outside.
	Block int    `json:"block,omitempty"`
	Name  string `json:"name"`
	// Args are its values, or "name=value" for attributes.
	Args []string `json:"args,omitempty"`
	// State is of a secret value: "set", "empty", and what else the parser
	// of the file says. Empty where there is no secret.
	State string `json:"state,omitempty"`
}

// Wants reports whether Facts has something to say of the file at an absolute,
// clean path. It wants configuration files by their names, and any regular file
// with a set-id bit or writable by everyone by its mode.
func Wants(p string, mode fs.FileMode) bool {
	switch {
	case mode.IsDir():
		return kindOf(p) == kindStat
	case !mode.IsRegular():
		return false
	case mode&modeSetID != 0 || mode&modeWorldWrite != 0:
		return true
	default:
		return kindOf(p) != kindNone
	}
}

// Loose reports whether Wants takes a file only because of its mode. A hostile
// layer may hold any number of them: see MaxLooseFiles.
func Loose(p string, mode fs.FileMode) bool { return Wants(p, mode) && kindOf(p) == kindNone }

// Reads reports whether Facts needs the content of the file at path p, at most
// MaxFileBytes of it.
func Reads(p string) bool { return kindOf(p) > kindStat }

// Facts reduces a file to what rules may ask for. Content may be nil where
// Reads is false. An error means that the content is damaged or crosses a limit
// (ErrLimit); the facts are then those read before, and always hold mode and
// owner. It is (nil, nil) for a file that Wants refuses.
func Facts(p string, st Stat, content []byte) (*File, error) {
	if !Wants(p, st.Mode) {
		return nil, nil
	}
	f := &File{Path: p, Mode: unixMode(st.Mode), Dir: st.Mode.IsDir(), UID: st.UID, GID: st.GID, Size: st.Size}
	k := kindOf(p)
	if k <= kindStat || f.Dir {
		return f, nil
	}
	var err error
	f.Parsed = true
	if len(content) > MaxFileBytes || st.Size > MaxFileBytes {
		f.Partial = true
		return f, fmt.Errorf("%d bytes: %w: at most %d", max(int64(len(content)), st.Size), ErrLimit, MaxFileBytes)
	}
	if bytes.IndexByte(content, 0) >= 0 {
		f.Partial = true
		return f, errors.New("not text")
	}
	switch k {
	case kindSSHD:
		f.Directives, err = parseSSHD(content)
	case kindPasswd:
		f.Accounts, err = parsePasswd(content)
	case kindShadow:
		f.Passwords, err = parseShadow(content)
	case kindGroup:
		f.Groups, err = parseGroup(content)
	case kindOptions:
		f.Directives, err = parseOptions(content)
	case kindShell:
		f.Directives, err = parseShell(content)
	case kindLimits:
		f.Directives, err = parseLimits(content)
	case kindPAM:
		f.PAM, err = parsePAM(content)
	case kindSudo:
		f.Sudo, err = parseSudoers(content)
	case kindBanner:
		f.Directives, err = parseBanner(content)
	case kindRepo:
		f.Directives, err = parseRepo(content)
	case kindAptConf:
		f.Directives, err = parseAptConf(content)
	case kindAptSources:
		f.Directives, err = parseAptSources(content)
	case kindAPKRepos:
		f.Directives, err = parseAPKRepositories(content)
	case kindPolicy:
		f.Directives, err = parsePolicy(content)
	case kindNginx:
		f.Directives, err = parseNginx(content)
	case kindRedis:
		f.Directives, err = parseRedis(content)
	case kindMySQL:
		f.Directives, err = parseMySQL(content)
	case kindTomcat:
		f.Directives, err = parseTomcat(path.Base(p), content)
		f.Parsed = f.Directives != nil || err != nil
	}
	// A record that is no record hides nothing of the others. An error of
	// syntax or a limit does.
	f.Partial = err != nil && (k == kindNginx || k == kindTomcat || errors.Is(err, ErrLimit))
	return f, err
}

// unixMode is the mode as stat(2) has it, without the type.
func unixMode(m fs.FileMode) uint32 {
	u := uint32(m.Perm())
	if m&fs.ModeSetuid != 0 {
		u |= 0o4000
	}
	if m&fs.ModeSetgid != 0 {
		u |= 0o2000
	}
	if m&fs.ModeSticky != 0 {
		u |= 0o1000
	}
	return u
}
