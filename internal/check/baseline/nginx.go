package baseline

import (
	"errors"
	"fmt"
	"strings"
)

// nginxValues are the directives of nginx whose arguments are kept. Headers
// keep their name, and their value if it is in nginxHeaders.
var nginxValues = set("user", "worker_processes", "include", "listen", "server_name", "server_tokens", "autoindex",
	"ssl", "ssl_protocols", "ssl_ciphers", "ssl_prefer_server_ciphers", "ssl_session_tickets", "ssl_session_timeout",
	"ssl_session_cache", "ssl_stapling", "ssl_verify_client", "ssl_dhparam", "ssl_ecdh_curve",
	"access_log", "error_log", "client_max_body_size", "client_body_timeout", "client_header_timeout", "client_body_buffer_size",
	"client_header_buffer_size", "large_client_header_buffers", "keepalive_timeout", "send_timeout", "limit_req", "limit_conn",
	"limit_req_zone", "limit_conn_zone", "root", "alias", "location", "limit_except", "allow", "deny", "stub_status",
	"disable_symlinks", "server_names_hash_bucket_size", "error_page", "merge_slashes", "dav_methods", "auth_basic", "proxy_hide_header",
	"fastcgi_hide_header", "proxy_ssl_verify", "proxy_ssl_protocols", "http2", "daemon")

var (
	nginxHeaderNames = set("add_header", "proxy_set_header", "fastcgi_param")
	nginxHeaders     = set("x-frame-options", "x-content-type-options", "strict-transport-security", "content-security-policy",
		"referrer-policy", "x-xss-protection", "access-control-allow-origin", "permissions-policy")
)

// parseNginx reads the configuration language of nginx: words, quotes, ";" and
// blocks. The body of a *_by_lua_block is passed over.
func parseNginx(b []byte) ([]Directive, error) {
	p := nginxParser{text: string(b)}
	err := p.run()
	if p.out == nil {
		p.out = []Directive{}
	}
	return p.out, err
}

type nginxParser struct {
	text  string
	at    int
	out   []Directive
	words []string
	// stack holds the open blocks; blocks[i] is the server block that
	// stack[i] stands in.
	stack  []string
	blocks []int
	server int
}

func (p *nginxParser) run() error {
	for p.at < len(p.text) {
		switch c := p.text[p.at]; c {
		case ' ', '\t', '\r', '\n':
			p.at++
		case '#':
			if i := strings.IndexByte(p.text[p.at:], '\n'); i >= 0 {
				p.at += i
			} else {
				p.at = len(p.text)
			}
		case ';':
			p.at++
			if err := p.emit(); err != nil {
				return err
			}
		case '{':
			p.at++
			if err := p.open(); err != nil {
				return err
			}
		case '}':
			p.at++
			if len(p.stack) == 0 {
				return errors.New("a block ends that did not begin")
			}
			p.words = nil
			p.stack = p.stack[:len(p.stack)-1]
			p.blocks = p.blocks[:len(p.blocks)-1]
		default:
			w, err := p.word()
			if err != nil {
				return err
			}
			if len(p.words) < maxArgs {
				p.words = append(p.words, w)
			}
		}
	}
	if len(p.stack) > 0 || len(p.words) > 0 {
		return errors.New("the file ends within a block or directive")
	}
	return nil
}

// word reads a word, quoted or not. "${name}" belongs to the word.
func (p *nginxParser) word() (string, error) {
	start := p.at
	if q := p.text[p.at]; q == '"' || q == '\'' {
		for p.at++; p.at < len(p.text); p.at++ {
			switch p.text[p.at] {
			case '\\':
				p.at++
			case q:
				w := p.text[start+1 : p.at]
				p.at++
				return w, nil
			}
		}
		return "", errors.New("a quote does not end")
	}
	for p.at < len(p.text) {
		switch c := p.text[p.at]; {
		case c == '\\' && p.at+1 < len(p.text):
			p.at += 2
			continue
		case c == '{' && p.at > start && p.text[p.at-1] == '$':
			if i := strings.IndexByte(p.text[p.at:], '}'); i >= 0 {
				p.at += i + 1
				continue
			}
			p.at++
			continue
		case c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == ';' || c == '{' || c == '}':
			return p.text[start:p.at], nil
		}
		p.at++
	}
	return p.text[start:p.at], nil
}

func (p *nginxParser) block() int {
	if n := len(p.blocks); n > 0 {
		return p.blocks[n-1]
	}
	return 0
}

func (p *nginxParser) emit() error {
	if len(p.words) == 0 {
		return nil
	}
	if len(p.out) == maxEntries {
		return tooMany("directives")
	}
	name, args := strings.ToLower(p.words[0]), p.words[1:]
	p.words = nil
	d := Directive{Section: strings.Join(p.stack, "/"), Block: p.block(), Name: clip(name)}
	switch {
	case nginxValues[name]:
		d.Args = clipAll(args)
	case nginxHeaderNames[name] && len(args) > 0:
		d.Args = []string{clip(args[0])}
		if name == "add_header" && nginxHeaders[strings.ToLower(args[0])] && len(args) > 1 {
			d.Args = clipAll(args)
		}
	case name == "proxy_pass" && len(args) > 0:
		if scheme, _, ok := strings.Cut(args[0], "://"); ok {
			d.Args = []string{clip(scheme)} // the rest may hold a password
		}
	}
	p.out = append(p.out, d)
	return nil
}

func (p *nginxParser) open() error {
	if len(p.words) == 0 {
		return errors.New("a block without a name")
	}
	if len(p.stack) == maxDepth {
		return fmt.Errorf("more than %d blocks within each other: %w", maxDepth, ErrLimit)
	}
	name := clip(strings.ToLower(p.words[0]))
	if strings.HasSuffix(name, "_by_lua_block") {
		p.words = nil
		return p.skipBlock()
	}
	block := p.block()
	if name == "server" {
		p.server++
		block = p.server
	}
	// The block itself is a directive too, of the section around it, so that
	// its arguments are seen.
	p.blocks = append(p.blocks, block)
	err := p.emit()
	p.stack = append(p.stack, name)
	return err
}

// skipBlock passes over a body in another language by counting braces.
func (p *nginxParser) skipBlock() error {
	for depth := 1; p.at < len(p.text); p.at++ {
		switch p.text[p.at] {
		case '{':
			depth++
		case '}':
			if depth--; depth == 0 {
				p.at++
				return nil
			}
		}
	}
	return errors.New("a block of Lua does not end")
}
