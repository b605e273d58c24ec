package secret

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "write the table of rules into docs/secrets.md")

// inCode are the rules that are no patterns.
var inCode = []struct{ id, title, kind, severity, how string }{
	{"private-key", "Private key in PEM, also within JSON", "private-key", "critical", "parsed"},
	{"private-key-encrypted", "The same, encrypted", "private-key", "medium", "parsed"},
	{"private-key-base64", "Private key in PEM in base64", "private-key", "critical", "parsed"},
	{"private-key-base64-encrypted", "The same, encrypted", "private-key", "medium", "parsed"},
	{"private-key-der", "Private key in DER", "private-key", "critical", "bytes"},
	{"private-key-der-encrypted", "The same, encrypted", "private-key", "medium", "bytes"},
	{"openssh-private-key", "OpenSSH private key", "private-key", "critical", "parsed"},
	{"openssh-private-key-encrypted", "The same, encrypted", "private-key", "medium", "parsed"},
	{"pgp-private-key", "OpenPGP private key", "private-key", "critical", "parsed"},
	{"putty-private-key", "PuTTY private key", "private-key", "critical", "parsed"},
	{"putty-private-key-encrypted", "The same, encrypted", "private-key", "medium", "parsed"},
	{"java-key-store", "JKS or JCEKS with a private key", "key-store", "high", "bytes"},
	{"pkcs12-key-store", "PKCS #12 with a private key", "key-store", "high", "bytes"},
	{"keepass-database", "KeePass database", "key-store", "high", "bytes"},
	{"kerberos-keytab", "Kerberos key table", "key-store", "critical", "bytes"},
	{"jwt", "JSON Web Token with a signature", "token", "medium", "parsed"},
	{"kubernetes-service-account-token", "Token of a Kubernetes service account", "token", "critical", "parsed"},
	{"database-url", "Password of a database, queue or directory in a URL", "connection", "critical", "parsed"},
	{"url-password", "Password in any other URL", "connection", "high", "parsed"},
	{"netrc-password", "Password in a netrc file", "password", "high", "parsed"},
	{"pgpass-password", "Password in a pgpass file", "password", "high", "parsed"},
	{"git-credentials", "Password of a Git remote", "connection", "high", "parsed"},
	{"mail-password", "Password of a mail or rsync account", "password", "high", "parsed"},
	{"ppp-secret", "Password of a PPP peer", "password", "high", "parsed"},
	{"secret-file", "File that holds nothing but a secret", "token", "high", "parsed"},
}

// TestDocumentedRules holds the table of docs/secrets.md to be that of the
// rules.
func TestDocumentedRules(t *testing.T) {
	const file = "../../../docs/secrets.md"
	const head = "## The rules\n"
	page, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	text, got, ok := strings.Cut(string(page), head)
	if !ok {
		t.Fatalf("%s has no %q", file, head)
	}
	var b strings.Builder
	rules := engine(t).rules
	fmt.Fprintf(&b, "\n%d patterns and %d in code. *Where* is a path for rules of one kind of file, *configuration* for files of configuration, else everywhere.\n\n", len(rules), len(inCode))
	b.WriteString("| Rule | What | Kind | Severity | Where |\n| --- | --- | --- | --- | --- |\n")
	for _, c := range inCode {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", c.id, c.title, c.kind, c.severity, c.how)
	}
	for _, r := range rules {
		where := ""
		switch {
		case r.Path != "":
			where = "`" + strings.ReplaceAll(r.Path, "|", `\|`) + "`"
		case r.Generic:
			where = "configuration"
		}
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", r.ID, r.Description, r.Kind, r.Severity, where)
	}
	if *update {
		if err := os.WriteFile(file, []byte(text+head+b.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if d := cmp.Diff(b.String(), got); d != "" {
		t.Errorf("run go test ./internal/check/secret -run Documented -update:\n%s", d)
	}
}
