package secret

import (
	"testing"

	"github.com/onceover/onceover/internal/check/text"
)

func TestAssignmentAt(t *testing.T) {
	for _, tt := range []struct{ name, text, want string }{
		{"shell", `export DB_PASSWORD=value1`, "DB_PASSWORD value1"},
		{"shell, quoted", `DB_PASSWORD='value 1'`, "DB_PASSWORD value 1"},
		{"properties", `spring.datasource.password = value1`, "spring.datasource.password value1"},
		{"YAML", "db:\n  password: value1 # x", "password value1"},
		{"YAML, quoted", `password: "value1"`, "password value1"},
		{"JSON", `{"dbPassword": "value1"}`, "dbPassword value1"},
		{"JSON in a string", `{\"password\":\"value1\"}`, "password value1"},
		{"Ruby", `:password => 'value1'`, "password value1"},
		{"Go", `password := "value1"`, "password value1"},
		{"PHP", `define('DB_PASSWORD', 'value1');`, "DB_PASSWORD value1"},
		{"a list", `["password", "value1"]`, ""},
		{"PHP array", `$config['password'] = 'value1';`, "password value1"},
		{"XML", `<password>value1</password>`, "password value1"},
		{"XML attribute", `<user password="value1"/>`, "password value1"},
		{"XML key and value", `<add key="Password" value="value1"/>`, "Password value1"},
		{"a variable of a pod", "- name: DB_PASSWORD\n  value: value1\n", "DB_PASSWORD value1"},
		{"a variable of a pod in JSON", `{"name": "DB_PASSWORD", "value": "value1"}`, "DB_PASSWORD value1"},
		{"a variable of a pod from a secret", "- name: DB_PASSWORD\n  valueFrom:\n    secretKeyRef: x\n", ""},
		{"command line", `run --password value1 -x`, "--password value1"},
		{"command line, joined", `run --password=value1 -x`, "--password value1"},
		{"prose", "the password, value1 and more", ""},
		{"no value", "password:\nuser: x", ""},
		{"no value, quoted", `password: ""`, ""},
		{"end of the text", "password", ""},
		{"end behind the operator", "password =", ""},
		{"end behind a flag", "run --password ", ""},
		{"words before the operator", "Password of root: value1", "Password of root value1"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := []byte(tt.text)
			at := -1
			for i := range b {
				if i+8 <= len(b) && string(lowered(b[i:i+8])) == "password" {
					at = i
					break
				}
			}
			got := ""
			if a, ok := assignmentAt(b, at, 8); ok {
				got = string(b[a.name:a.nameEnd]) + " " + string(b[a.value:a.end])
			}
			if got != tt.want {
				t.Errorf("read %q, want %q", got, tt.want)
			}
		})
	}
}

func lowered(b []byte) []byte {
	out := make([]byte, len(b))
	for i := range b {
		out[i] = text.Lower(b[i])
	}
	return out
}
