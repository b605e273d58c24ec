package buildcmd

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/onceover/onceover/internal/image"
	"github.com/onceover/onceover/test/shareddata"
)

func TestSteps(t *testing.T) {
	for _, tc := range []struct {
		name, in string
		want     Step
	}{
		{"docker instruction", `/bin/sh -c #(nop)  ENV A=b`, Step{Keyword: "ENV", Text: "A=b"}},
		{"docker base", `/bin/sh -c #(nop) ADD file:0a1b in / `, Step{Keyword: "ADD", Text: "file:0a1b in /"}},
		{"docker other shell", `/bin/bash -o pipefail -c #(nop)  CMD ["x"]`, Step{Keyword: "CMD", Text: `["x"]`}},
		{"docker RUN", `/bin/sh -c apt-get update`, Step{Keyword: "RUN", Text: "apt-get update", Shell: "/bin/sh"}},
		{"docker RUN with arguments", `|2 A=b C=d e /bin/sh -c make`, Step{Keyword: "RUN", Text: "make", Shell: "/bin/sh", Args: []Pair{{"A", "b"}, {"C", "d e"}}}},
		{"docker RUN with a shell", `/bin/bash -euxo pipefail -c make`, Step{Keyword: "RUN", Text: "make", Shell: "/bin/bash"}},
		{"buildkit RUN", "RUN /bin/sh -c make # buildkit", Step{Keyword: "RUN", Text: "make", Shell: "/bin/sh"}},
		{"buildkit RUN with arguments", "RUN |1 A=b /bin/bash -o pipefail -c make # buildkit", Step{Keyword: "RUN", Text: "make", Shell: "/bin/bash", Args: []Pair{{"A", "b"}}}},
		{"buildkit heredoc", "RUN /bin/sh -c set -e\nmake\n # buildkit", Step{Keyword: "RUN", Text: "set -e\nmake", Shell: "/bin/sh"}},
		{"buildkit exec form", `RUN make all # buildkit`, Step{Keyword: "RUN", Text: "make all"}},
		{"buildkit ENV", "ENV A=b c=d # buildkit", Step{Keyword: "ENV", Text: "A=b c=d"}},
		{"buildkit COPY", "COPY --from=build /a /b # buildkit", Step{Keyword: "COPY", Text: "/a /b", Flags: []string{"--from=build"}}},
		{"buildah RUN", "/bin/sh -c dnf -y install a", Step{Keyword: "RUN", Text: "dnf -y install a", Shell: "/bin/sh"}},
		{"kaniko RUN", "RUN apk add a && b", Step{Keyword: "RUN", Text: "apk add a && b"}},
		{"kaniko RUN exec form", `RUN ["/x", "a b", "it's"]`, Step{Keyword: "RUN", Text: `/x 'a b' 'it'\''s'`}},
		{"kaniko RUN of a shell", `RUN bash -c "make"`, Step{Keyword: "RUN", Text: `bash -c "make"`}},
		{"RUN with mounts", "RUN --mount=type=secret,id=x --network=none make", Step{Keyword: "RUN", Text: "make", Flags: []string{"--mount=type=secret,id=x", "--network=none"}}},
		{"for images built on it", "ONBUILD RUN make", Step{Keyword: "RUN", Text: "make", OnBuild: true}},
		{"for images built on it, docker", "/bin/sh -c #(nop)  ONBUILD COPY . /app", Step{Keyword: "COPY", Text: ". /app", OnBuild: true}},
		{"windows", `cmd /S /C dir`, Step{Keyword: "RUN", Text: `cmd /S /C dir`, Shell: "windows"}},
		{"bazel", "bazel build ...", Step{Text: "bazel build ..."}},
		{"debuerreotype", "# debian.sh --arch 'amd64' out/ 'bookworm'", Step{Text: "# debian.sh --arch 'amd64' out/ 'bookworm'"}},
		{"lower case is no keyword", "copy a b", Step{Text: "copy a b"}},
		{"empty", "", Step{}},
		{"not a call", "|x /bin/sh -c", Step{Keyword: "RUN", Text: "|x /bin/sh -c"}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			if d := cmp.Diff(tc.want, parseStep(tc.in), cmp.AllowUnexported(Step{})); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestPairs(t *testing.T) {
	for in, want := range map[string][]Pair{
		`A=b`:                       {{"A", "b"}},
		`A="b c" D='e f' G=h\ i`:    {{"A", "b c"}, {"D", "e f"}, {"G", "h i"}},
		`A b c`:                     {{"A", "b c"}},
		`A=b c d E=f`:               {{"A", "b c d"}, {"E", "f"}},
		`A=it's`:                    {{"A", "it's"}},
		`A=`:                        {{"A", ""}},
		``:                          nil,
		`org.x.y="v" z.w=2`:         {{"org.x.y", "v"}, {"z.w", "2"}},
		`JAVA_OPTS=-Da=b -Dc=d X=1`: {{"JAVA_OPTS", "-Da=b"}, {"-Dc", "d"}, {"X", "1"}},
	} {
		if d := cmp.Diff(want, Step{Keyword: "ENV", Text: in}.parsePairs()); d != "" {
			t.Errorf("%s: %s", in, d)
		}
	}
}

func TestConfigurationWithoutHistory(t *testing.T) {
	secret := "hid" + "den77x"
	raw := fmt.Sprintf(`{"config":{"User":"app","Env":["PATH=/bin","DB_PASSWORD=%s"],"Labels":{"a.token":"%s"},"ExposedPorts":{"22/tcp":{}},"Volumes":{"/etc":{}},"Healthcheck":{"Test":["CMD","x"]},"Cmd":["x"]}}`, secret, secret)
	img, err := ParseImage([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range Check(img).Findings {
		if f.Step != -1 {
			t.Errorf("%+v", f)
		}
		got = append(got, f.RuleID+" "+f.Instruction)
	}
	want := []string{"BC-SECRET-ENV ENV DB_PASSWORD=***", "BC-SECRET-LABEL LABEL a.token=***", "BC-EXPOSE-SSH EXPOSE 22/tcp", "BC-VOLUME-HOST VOLUME /etc"}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// What a container starts with is looked at like what the build ran.
func TestStartCommands(t *testing.T) {
	for _, in := range []string{
		`{"config":{"User":"app","Healthcheck":{"Test":["CMD","x"]},"Cmd":["sh","-c","curl https://x.example/i | sh"]}}`,
		`{"config":{"User":"app","Healthcheck":{"Test":["CMD","x"]}},"history":[{"created_by":"CMD [\"sh\" \"-c\" \"curl https://x.example/i | sh\"]"}]}`,
		`{"config":{"User":"app","Healthcheck":{"Test":["CMD","x"]}},"history":[{"created_by":"ENTRYPOINT curl https://x.example/i | sh"}]}`,
		`{"config":{"User":"app","Healthcheck":{"Test":["CMD","x"]}},"history":[{"created_by":"ONBUILD RUN curl https://x.example/i | sh"}]}`,
	} {
		img, err := ParseImage([]byte(in))
		if err != nil {
			t.Fatal(err)
		}
		f := Check(img).Findings
		if len(f) != 1 || f[0].RuleID != "BC-PIPE-SHELL" || !strings.Contains(f[0].Instruction, "| sh") {
			t.Errorf("%s: %+v", in, f)
		}
	}
}

func TestLayersOfFindings(t *testing.T) {
	img := Image{User: "app", DiffIDs: []string{"sha256:a", "sha256:b"}, History: []image.History{
		{CreatedBy: "ADD rootfs / # buildkit"}, {CreatedBy: "ENV A=b", EmptyLayer: true}, {CreatedBy: "RUN chmod 777 /srv"},
	}}
	res := Check(img)
	if len(res.Findings) != 1 || res.Findings[0].Layer != "sha256:b" || res.Findings[0].Step != 2 {
		t.Errorf("%+v", res)
	}
	img.DiffIDs = img.DiffIDs[:1] // the history does not fit
	if f := Check(img).Findings; len(f) != 1 || f[0].Layer != "" {
		t.Errorf("%+v", f)
	}
}

// Whatever the form, no part of a secret is shown, here or elsewhere in the
// history.
func TestMasks(t *testing.T) {
	secret := "Zq7" + "!vXw" + "99k"
	for _, step := range []string{
		"ENV DB_PASSWORD=%s", "ENV DB_PASSWORD %s", "ENV DB_PASS=%s A=1", "ARG TOKEN=%s", "|1 API_KEY=%s /bin/sh -c chmod 777 /x", "LABEL x.secret=%s",
		"ENV DB_PASSWORD=\"%s two words\"", "ENV DB_PASSWORD='%s two words'",
		"RUN export MYSQL_PWD='%s' && chmod 777 /x", "RUN PASSWORD=\"%s x\" chmod 777 /x",
		"RUN echo 'root:%s' | chpasswd", "RUN echo \"root:%s\" | sudo chpasswd -e", "RUN printf 'root:%s\\n' | /usr/sbin/chpasswd", "RUN chpasswd <<< 'root:%s'", "RUN chpasswd <<EOF\nroot:%s\nEOF\n",
		"RUN useradd -m -p '%s' app", "RUN useradd -p%s app", "RUN usermod --password %s root", "RUN echo '%s' | passwd --stdin root", "RUN echo \"%s\" | docker login -u x --password-stdin && chmod 777 /x",
		"RUN curl -k -u bob:'%s' https://x.example", "RUN curl -k -H 'Authorization: Bearer %s' https://x.example", "RUN curl -k -H \"X-Api-Key: %s\" https://x.example",
		"RUN curl -k 'https://x.example/?token=%s&a=b'", "RUN git -c http.sslVerify=false clone https://bob:%s@x.example/a", "RUN mysql -u root -p%s -e x && chmod 777 /x",
		"RUN mysql -e \"CREATE USER a IDENTIFIED BY '%s'\" && chmod 777 /x", "RUN sshpass -p '%s' ssh -o StrictHostKeyChecking=no x", "RUN keytool -storepass '%s' -x", "RUN docker login -u a --password=%s r.example",
		"RUN echo '{\"password\": \"%s\"}' > /x && chmod 777 /x", "RUN printf 'password: %s\\n' > /x; chmod 777 /x", "RUN npm config set //r.example/:_authToken=%s && chmod 777 /x",
	} {
		step = fmt.Sprintf(step, secret)
		for _, pad := range []string{"", " && echo " + strings.Repeat("long ", 100)} {
			if pad != "" && (!strings.HasPrefix(step, "RUN") || strings.Contains(step, "<<EOF")) {
				continue
			}
			img := Image{User: "app", History: []image.History{{CreatedBy: step + pad}}}
			res := Check(img)
			if len(res.Findings) == 0 {
				t.Errorf("nothing found in %s", step)
			}
			for _, f := range res.Findings {
				for _, part := range []string{secret, secret[:6], secret[4:], "two words"} {
					if strings.Contains(f.Instruction, part) {
						t.Errorf("%s: %q stands in %s", f.RuleID, part, f.Instruction)
					}
				}
			}
		}
	}
	// A build argument that a command repeats.
	img := Image{User: "app", History: []image.History{{CreatedBy: "ARG NPM_TOKEN=" + secret}, {CreatedBy: "RUN curl -k https://x.example/" + secret}}}
	if out, _ := json.Marshal(Check(img)); strings.Contains(string(out), secret) {
		t.Errorf("%s", out)
	}
	if d := cmp.Diff([]string{"ARG NPM_TOKEN=***", "RUN curl -k https://x.example/***"}, MaskHistory(img)); d != "" {
		t.Error(d)
	}
}

// What layers are shown with is the history as it was before, but for secrets.
func TestCommands(t *testing.T) {
	const secret = "Zx81" + "-Spectrum"
	a, b := image.DigestOf([]byte("a")), image.DigestOf([]byte("b"))
	c := image.Config{DiffIDs: []image.Digest{a, b}, Env: []string{"DB_PASSWORD=" + secret}, History: []image.History{
		{CreatedBy: "/bin/sh -c #(nop) ADD file:1 in / "},
		{CreatedBy: "ENV DB_PASSWORD=" + secret, EmptyLayer: true},
		{CreatedBy: "RUN /bin/sh -c mysql -u root -h db " + secret + " # buildkit"},
	}}
	before := slices.Clone(c.History)
	if d := cmp.Diff([]string{"ADD file:1 in /", "RUN mysql -u root -h db ***"}, Commands(c)); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff(before, c.History); d != "" {
		t.Errorf("the configuration was changed: %s", d)
	}
	// A secret that only the configuration tells of.
	c.History[1].CreatedBy = "ENV A=b"
	if got := Commands(c)[1]; got != "RUN mysql -u root -h db ***" {
		t.Errorf("got %q", got)
	}
	c.DiffIDs = c.DiffIDs[:1]
	if d := cmp.Diff([]string{""}, Commands(c)); d != "" {
		t.Errorf("a history that does not fit: %s", d)
	}
	// Beyond the limits nothing is shown, rather than something unmasked.
	c = image.Config{}
	for range maxSteps + 1 {
		c.DiffIDs, c.History = append(c.DiffIDs, a), append(c.History, image.History{CreatedBy: "RUN x"})
	}
	if got := Commands(c); len(got) != maxSteps+1 || got[maxSteps-1] != "RUN x" || got[maxSteps] != "" {
		t.Errorf("%d commands, last %q", len(got), got[maxSteps])
	}
}

func TestLongInstruction(t *testing.T) {
	img := Image{User: "app", History: []image.History{{CreatedBy: "RUN " + strings.Repeat("echo x && ", 100) + "chmod -R 777 /srv/app && echo y"}}}
	f := Check(img).Findings
	if len(f) != 1 || f[0].Instruction != "RUN … chmod -R 777 /srv/app …" {
		t.Errorf("%+v", f)
	}
}

func TestHostile(t *testing.T) {
	for name, text := range map[string]string{
		"brackets":      strings.Repeat("(", maxStepBytes),
		"substitutions": strings.Repeat("$(", maxStepBytes/2),
		"quotes":        strings.Repeat(`"$(`, maxStepBytes/3),
		"backquotes":    strings.Repeat("`", maxStepBytes),
		"ifs":           strings.Repeat("if ", maxStepBytes/3),
		"hidden":        strings.Repeat("( ')' ", maxStepBytes/6),
		"under limit":   strings.Repeat("(", maxNesting-1) + strings.Repeat(")", maxNesting-1),
		"ands":          strings.Repeat("a&&", maxStepBytes/3) + "a",
		"commands":      strings.Repeat("a\n", maxStepBytes/2),
		"one word":      strings.Repeat("a", maxStepBytes),
		"spaces":        strings.Repeat(" ", maxStepBytes),
		"words":         "curl " + strings.Repeat("-k ", maxStepBytes/4),
		"evals":         strings.Repeat("eval sh -c ", maxStepBytes/12),
		"equals":        strings.Repeat("password=", maxStepBytes/9),
		"heredocs":      strings.Repeat("cat <<A\n", 2000),
		"zeros":         strings.Repeat("\x00", maxStepBytes),
		"not UTF-8":     strings.Repeat("\xff\xfe", maxStepBytes/2),
		"too long":      strings.Repeat("echo a;", maxStepBytes),
		"arithmetic":    "echo $((" + strings.Repeat("(1+", 1000) + "1" + strings.Repeat(")", 1000) + "))",
	} {
		t.Run(name, func(t *testing.T) {
			for _, prefix := range []string{"RUN ", "ENV A="} {
				start := time.Now()
				res := Check(Image{User: "app", History: []image.History{{CreatedBy: prefix + text}}})
				if d := time.Since(start); d > 5*time.Second {
					t.Errorf("%s took %s", prefix, d)
				}
				if len(prefix+text) > maxStepBytes && res.Cut == 0 {
					t.Errorf("%s: a cut is not counted", prefix)
				}
			}
		})
	}
	many := make([]image.History, maxSteps+7)
	if res := Check(Image{User: "app", History: many}); res.Left != 7 || res.Steps != maxSteps {
		t.Errorf("%+v", res)
	}
	for i := range many {
		many[i].CreatedBy = "RUN curl " + strings.Repeat("-k ", maxStepBytes/4)
	}
	start := time.Now()
	if res := Check(Image{User: "app", History: many}); res.Left == 0 || res.Steps > 30 {
		t.Errorf("%d steps, %d left", res.Steps, res.Left)
	}
	t.Logf("a history at the limit took %s", time.Since(start).Round(time.Millisecond))
	if _, err := ParseImage(make([]byte, image.MaxConfigBytes+1)); err == nil {
		t.Error("a configuration beyond the limit was read")
	}
	if _, err := ParseImage([]byte("{")); err == nil {
		t.Error("half a configuration was read")
	}
}

func TestUnparsedIsCounted(t *testing.T) {
	res := Check(Image{User: "app", History: []image.History{{CreatedBy: "RUN if then ( && chmod 777 /x"}}})
	if res.Unparsed != 1 || len(res.Findings) != 1 || res.Findings[0].RuleID != "BC-CHMOD-WORLD" {
		t.Errorf("%+v", res)
	}
}

// Image configurations of real builds: those below the shared data, and those
// of the images that the project's own fixtures made.
func TestRealConfigurations(t *testing.T) {
	var roots []string
	if d := shareddata.Find(); d != "" {
		roots = append(roots, filepath.Dir(d))
	}
	if r := shareddata.Root(); r != "" {
		roots = append(roots, filepath.Join(r, "build", "cache", "fixture"))
	}
	if d := os.Getenv("ONCEOVER_IMAGES"); d != "" {
		roots = append(roots, d)
	}
	images, steps, findings, unparsed := 0, 0, map[string]int{}, 0
	var took time.Duration
	for _, root := range roots {
		filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil
			}
			info, err := d.Info()
			if err != nil || info.Size() > 256<<10 {
				return nil
			}
			if dir := filepath.Base(filepath.Dir(p)); dir != "sha256" && filepath.Ext(p) != ".json" {
				return nil
			}
			b, err := os.ReadFile(p)
			if err != nil || !strings.Contains(string(b), `"rootfs"`) || !strings.Contains(string(b), `"diff_ids"`) {
				return nil
			}
			img, err := ParseImage(b)
			if err != nil {
				return nil
			}
			start := time.Now()
			res := Check(img)
			took += time.Since(start)
			images, steps, unparsed = images+1, steps+res.Steps, unparsed+res.Unparsed
			for _, f := range res.Findings {
				findings[f.RuleID]++
			}
			return nil
		})
	}
	if images == 0 {
		t.Skip("no image configurations below ../shared and build/cache/fixture; ONCEOVER_IMAGES names another directory")
	}
	t.Logf("%d images, %d steps, %d not parsed, %s: %v", images, steps, unparsed, took.Round(time.Microsecond), findings)
}

func FuzzCheck(f *testing.F) {
	for _, ex := range examples {
		for _, e := range append(ex.bad, ex.good...) {
			f.Add(e)
		}
	}
	f.Fuzz(func(t *testing.T, step string) {
		res := Check(Image{Cmd: []string{step}, Env: []string{step}, History: []image.History{{CreatedBy: step}, {CreatedBy: "RUN " + step}, {CreatedBy: "ENV " + step}}})
		for _, r := range res.Findings {
			if n := len([]rune(r.Instruction)); n > maxShown {
				t.Errorf("%d characters are shown", n)
			}
		}
	})
}

func BenchmarkCheck(b *testing.B) {
	var img Image
	bytes := 0
	for _, r := range Rules() {
		for _, e := range append(examples[r.ID].bad, examples[r.ID].good...) {
			if !strings.HasPrefix(e, "I:") {
				img.History = append(img.History, image.History{CreatedBy: e})
				bytes += len(e)
			}
		}
	}
	b.SetBytes(int64(bytes))
	for b.Loop() {
		Check(img)
	}
}
