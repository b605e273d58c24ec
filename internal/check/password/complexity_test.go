package password

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestComplexity(t *testing.T) {
	type want struct {
		Length                       int
		Upper, Lower, Digit, Special bool
		Source                       string
	}
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  want
		none  bool
	}{
		{name: "nothing", files: map[string]string{"/etc/nginx.conf": "x"}, none: true},
		{name: "accounts without rules", files: map[string]string{passwdPath: "root:x:0:0::/:/bin/sh\n"}},
		{name: "debian", files: map[string]string{"/etc/pam.d/common-password": "# /etc/pam.d\npassword\t[success=1 default=ignore]\tpam_unix.so obscure yescrypt\npassword requisite pam_deny.so\n", loginDefsPath: "PASS_MIN_LEN 12\n"},
			want: want{Length: 6, Source: "pam_unix"}},
		{name: "unix minlen", files: map[string]string{"/etc/pam.d/common-password": "password [success=1 default=ignore] pam_unix.so minlen=10\n"},
			want: want{Length: 10, Source: "pam_unix"}},
		{name: "pwquality default", files: map[string]string{"/etc/pam.d/system-auth": "password requisite pam_pwquality.so try_first_pass local_users_only retry=3 authtok_type=\n"},
			want: want{Length: 8, Source: "pam_pwquality"}},
		{name: "pwquality arguments", files: map[string]string{"/etc/pam.d/system-auth": "password requisite \\\n /usr/lib64/security/pam_pwquality.so minlen=12 \\\n dcredit=-1 ucredit=-1 lcredit=-1 ocredit=-1\n"},
			want: want{12, true, true, true, true, "pam_pwquality"}},
		{name: "pwquality.conf and arguments", files: map[string]string{"/etc/pam.d/password-auth": "password required pam_pwquality.so dcredit=-1\n", pwqualityPath: "minlen = 14 # so\n# ucredit = -1\nocredit=-2\ndcredit = 2\n", pwqualityDir + "/10.conf": "minlen=20\nlcredit=-1\n"},
			want: want{Length: 14, Digit: true, Special: true, Lower: true, Source: "pam_pwquality"}},
		{name: "minclass", files: map[string]string{"/etc/pam.d/common-password": "password requisite pam_pwquality.so minclass=4\n"},
			want: want{8, true, true, true, true, "pam_pwquality"}},
		{name: "credits make up for length", files: map[string]string{"/etc/pam.d/common-password": "password requisite pam_pwquality.so minlen=9 dcredit=1 ucredit=1\n"},
			want: want{Length: 7, Source: "pam_pwquality"}},
		{name: "not enforced", files: map[string]string{"/etc/pam.d/common-password": "password requisite pam_pwquality.so minlen=12 ucredit=-1 enforcing=0\n"}},
		{name: "optional module", files: map[string]string{"/etc/pam.d/common-password": "password optional pam_pwquality.so minlen=12\n"}},
		{name: "conf without module", files: map[string]string{pwqualityPath: "minlen=14\n", passwdPath: "a"}},
		{name: "cracklib default", files: map[string]string{"/etc/pam.d/system-auth": "password required pam_cracklib.so retry=3\n"},
			want: want{Length: 6, Source: "pam_cracklib"}},
		{name: "cracklib strict", files: map[string]string{"/etc/pam.d/system-auth": "-password required pam_cracklib.so minlen=8 ucredit=-1 lcredit=-1 dcredit=-1 ocredit=-1\n"},
			want: want{8, true, true, true, true, "pam_cracklib"}},
		{name: "passwdqc", files: map[string]string{"/etc/pam.d/system-auth": "password requisite pam_passwdqc.so min=disabled,disabled,disabled,disabled,10\n"},
			want: want{10, true, true, true, true, "pam_passwdqc"}},
		{name: "passwdqc default", files: map[string]string{"/etc/pam.d/system-auth": "password requisite pam_passwdqc.so\n"},
			want: want{Length: 7, Source: "pam_passwdqc"}},
		{name: "login.defs without PAM", files: map[string]string{loginDefsPath: "#PASS_MIN_LEN 5\nPASS_MIN_LEN\t9\n"},
			want: want{Length: 9, Source: "login.defs"}},
		{name: "etc hides the vendor's", files: map[string]string{"/usr/lib/pam.d/common-password": "password required pam_pwquality.so minlen=20\n", "/etc/pam.d/common-password": "password required pam_unix.so minlen=8\n"},
			want: want{Length: 8, Source: "pam_unix"}},
		{name: "authselect and SUSE link to other names", files: map[string]string{"/etc/authselect/system-auth": "password requisite pam_pwquality.so minlen=9\n", "/etc/pam.d/common-password-pc": "password requisite pam_cracklib.so dcredit=-1\n"},
			want: want{Length: 9, Digit: true, Source: "pam_cracklib"}},
		{name: "nonsense", files: map[string]string{"/etc/pam.d/common-password": "password [a b\npassword [ pam_pwquality.so\npassword required\npassword required pam_pwquality.so minlen=99999999999 ucredit=-\n"},
			want: want{Length: 6, Source: "pam_pwquality"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			var files []File
			for p, c := range tc.files {
				files = append(files, File{Path: p, Content: []byte(c)})
			}
			c, ok := CheckComplexity(files)
			if ok == tc.none {
				t.Fatalf("there are rules: %v", ok)
			}
			// The lines that leave the sandbox give the same answer.
			for i, f := range files {
				files[i].Content = []byte(reduced(f))
			}
			less, lessOK := CheckComplexity(files)
			if d := cmp.Diff(c, less); d != "" || lessOK != ok {
				t.Errorf("reduced: %s", d)
			}
			got := want{c.Length, c.Upper, c.Lower, c.Digit, c.Special, c.Source}
			if d := cmp.Diff(tc.want, got); d != "" {
				t.Error(d)
			}
			if c.MinLength != (tc.want.Length >= wantedLength) {
				t.Errorf("MinLength is %v", c.MinLength)
			}
			if ok && c.Good() != (c.Suggestion == "") {
				t.Errorf("good: %v, suggestion: %q", c.Good(), c.Suggestion)
			}
		})
	}
}

func TestWants(t *testing.T) {
	for p, want := range map[string]bool{
		"/etc/shadow": true, "/etc/passwd": true, "/etc/shadow-": false, "/srv/etc/shadow": false, "/etc/login.defs": true,
		"/etc/pam.d/common-password": true, "/etc/pam.d/sshd": false, "/etc/pam.d/system-auth-ac": true, "/etc/authselect/user-nsswitch.conf": false, "/etc/security/pwquality.conf.d/x.conf": true,
		"/usr/local/etc/redis/redis.conf": true, "/root/.my.cnf": true, "/opt/t/conf/tomcat-users.xml": true, "/etc/hosts": false,
	} {
		if got := Wants(p); got != want {
			t.Errorf("Wants(%s) is %v", p, got)
		}
	}
}

// What leaves the sandbox gives the same answer as the file, whatever it holds.
func FuzzReduced(f *testing.F) {
	paths := []string{"/etc/pam.d/common-password", "/etc/pam.d/system-auth-ac", pwqualityPath, pwqualityDir + "/a.conf", loginDefsPath, "/etc/passwdqc.conf"}
	f.Add("password requisite pam_pwquality.so minlen=12 \\\n ucredit=-1\n", "minlen = 14 # so\nocredit=-2\n", "PASS_MIN_LEN 9\n")
	f.Add("password required pam_passwdqc.so config=/x min=disabled,24,x,8,7 enforce=none\n", "min=8,8,8,8,8\n", "")
	f.Add("-password [success=1 default=ignore] /lib/pam_unix.so obscure minlen=1001\n", "minclass=4\nenforcing = 0\n", "PASS_MIN_LEN x\n")
	f.Fuzz(func(t *testing.T, pam, conf, defs string) {
		var whole, less []File
		for i, p := range paths {
			content := []string{pam, pam, conf, conf, defs, conf}[i]
			if i < 2 && pam == "" {
				continue // login.defs counts without PAM
			}
			file := File{Path: p, Content: []byte(content)}
			whole = append(whole, file)
			file.Content = []byte(reduced(file))
			less = append(less, file)
		}
		want, wantOK := CheckComplexity(whole)
		got, ok := CheckComplexity(less)
		want.Problems, got.Problems = nil, nil // told when the file is read
		if d := cmp.Diff(want, got); d != "" || ok != wantOK {
			t.Error(d)
		}
	})
}
