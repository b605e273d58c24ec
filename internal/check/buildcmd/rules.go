package buildcmd

import (
	"slices"
	"strings"
	"sync"
)

// Rules are all rules, by id. The caller must not change them.
var Rules = sync.OnceValue(func() []*Rule {
	var out []*Rule
	for _, group := range [][]Rule{secretRules(), downloadRules(), packageRules(), accessRules(), configRules()} {
		for i := range group {
			out = append(out, &group[i])
		}
	}
	slices.SortFunc(out, func(a, b *Rule) int { return strings.Compare(a.ID, b.ID) })
	return out
})

func secretRules() []Rule {
	return []Rule{
		{
			ID: "BC-SECRET-ENV", Title: "Secret in an environment variable", Severity: High,
			Description: "ENV writes the value into the image configuration, where everyone who can pull the image reads it, and into the environment of every process.",
			Remediation: "Take the variable out and pass it when the container starts, from a secret store. Replace the secret: it must count as known.",
			step:        func(l *look) bool { return l.Keyword == "ENV" && secretPair(l.pairs()) },
		},
		{
			ID: "BC-SECRET-ARG", Title: "Secret in a build argument", Severity: High,
			Description: "Build arguments are kept in the history of the image, also those that only one RUN instruction used.",
			Remediation: "Hand the secret to the build with RUN --mount=type=secret, which leaves no trace. Replace the secret.",
			step: func(l *look) bool {
				return l.Keyword == "ARG" && secretPair(l.pairs()) || l.Keyword == "RUN" && secretPair(l.Args)
			},
		},
		{
			ID: "BC-SECRET-LABEL", Title: "Secret in a label", Severity: High,
			Description: "Labels are part of the image configuration and are shown by every tool.",
			Remediation: "Take the label out and replace the secret.",
			step:        func(l *look) bool { return l.Keyword == "LABEL" && secretPair(l.pairs()) },
		},
		{
			ID: "BC-SECRET-RUN", Title: "Secret assigned in a RUN instruction", Severity: High,
			Description: "The command line of RUN is kept in the history of the image, with what it assigns.",
			Remediation: "Hand the secret to the build with RUN --mount=type=secret and read it from the file. Replace the secret.",
			command:     func(_ *look, c *command) bool { return secretPair(c.env) },
		},
		{
			ID: "BC-SECRET-TOKEN", Title: "Access key or token in a build instruction", Severity: Critical,
			Description: "The instruction contains a value with the form of an access key, a token or a private key. It stays in the history of the image.",
			Remediation: "Revoke the key now, and hand its successor to the build with RUN --mount=type=secret or to the container when it starts.",
			step:        func(l *look) bool { return hasToken(l.Text) || pairsMatch(l.Args, hasToken) },
		},
		{
			ID: "BC-SECRET-URL", Title: "Password in a URL", Severity: High,
			Description: "The instruction contains a URL with user and password, which stays in the history of the image and often in configuration files that the command wrote.",
			Remediation: "Use a credential helper, or a .netrc file from RUN --mount=type=secret. Replace the password.",
			step: func(l *look) bool {
				return hasCredential(l.Text) || pairsMatch(l.Args, hasCredential)
			},
		},
		{
			ID: "BC-SECRET-OPTION", Title: "Password on a command line", Severity: High,
			Description: "A command is given a password as an argument; the command line stays in the history of the image.",
			Remediation: "Let the command read the password from a file of RUN --mount=type=secret. Replace the password.",
			command:     passwordOption,
		},
		{
			ID: "BC-SECRET-FILE", Title: "Key or credential file copied into the image", Severity: High,
			Description: "A file that usually holds a private key or credentials is copied into a layer. Everyone who can pull the image can read it, even if a later instruction deletes it.",
			Remediation: "Leave the file out with .dockerignore and use RUN --mount=type=secret or --mount=type=ssh where the build needs it. Replace its content.",
			step: func(l *look) bool {
				return (l.Keyword == "COPY" || l.Keyword == "ADD") && slices.ContainsFunc(l.list(), secretFile)
			},
		},
		{
			ID: "BC-SECRET-DELETED", Title: "Secret file deleted by a later instruction", Severity: Medium,
			Description: "Deleting a file in a RUN instruction of its own hides it only: the layer below still contains it.",
			Remediation: "Never let the file into a layer: mount it with RUN --mount=type=secret, or create and delete it in one RUN instruction.",
			command: func(l *look, c *command) bool {
				if !c.is("rm", "shred", "unlink") {
					return false
				}
				for _, f := range c.operands() {
					if secretFile(f) && !madeHere(l.script, f) {
						return true
					}
				}
				return false
			},
		},
		{
			ID: "BC-COPY-ALL", Title: "Whole build context copied", Severity: Low,
			Description: "COPY . takes everything that lies in the build directory, with whatever local settings, credentials and version history are there on the day.",
			Remediation: "Copy the files that the image needs by name, and keep a .dockerignore that begins with \"*\".",
			step: func(l *look) bool {
				w := l.list()
				return (l.Keyword == "COPY" || l.Keyword == "ADD") && len(w) == 2 && (w[0] == "." || w[0] == "./" || w[0] == "*") && !fromStage(l.Step)
			},
		},
		{
			ID: "BC-COPY-GIT", Title: "Version history copied", Severity: Medium,
			Description: "A .git directory holds every version of every file, with secrets that were removed since, and often credentials of the remote.",
			Remediation: "Leave .git out with .dockerignore.",
			step: func(l *look) bool {
				return (l.Keyword == "COPY" || l.Keyword == "ADD") && slices.ContainsFunc(l.list(), func(w string) bool {
					w = strings.TrimSuffix(w, "/")
					return base(w) == ".git" || base(w) == ".svn" || base(w) == ".hg"
				})
			},
		},
		{
			ID: "BC-SSH-KEYGEN", Title: "SSH key made at build time", Severity: Medium,
			Description: "A key that is made while the image is built is the same in every container, and everyone who can pull the image has it.",
			Remediation: "Make host keys when the container starts, and user keys outside of images.",
			command: func(_ *look, c *command) bool {
				return c.is("ssh-keygen") && !c.short('R') && !c.short('F') && !c.short('l') && !c.short('y') || c.is("dropbearkey")
			},
		},
		{
			ID: "BC-HISTORY-OFF", Title: "Traces are removed", Severity: Medium,
			Description: "The instruction clears or switches off the command history or audit records, as intruders do.",
			Remediation: "Find out why; build steps need no such thing.",
			command: func(_ *look, c *command) bool {
				switch {
				case c.is("unset"):
					return c.has("HISTFILE", "HISTSIZE")
				case c.is("history"):
					return c.short('c')
				case c.is("export", ""):
					return slices.ContainsFunc(c.env, func(p Pair) bool { return p.Name == "HISTFILE" && (p.Value == "/dev/null" || p.Value == "") })
				}
				return false
			},
		},
	}
}

func downloadRules() []Rule {
	return []Rule{
		{
			ID: "BC-PIPE-SHELL", Title: "Download run without a check", Severity: High,
			Description: "What a server sends is run at once. Whoever controls the server or its name decides what is in the image, and nothing is left to compare.",
			Remediation: "Download to a file, compare its checksum or signature with a value in the Dockerfile, then run it.",
			command:     pipedToShell,
		},
		{
			ID: "BC-ENCODED-SHELL", Title: "Encoded script is run", Severity: High,
			Description: "A script is decoded and run in one go, which hides what it does from reviews and scanners.",
			Remediation: "Put the script into the build context as it is and run it from there.",
			command: func(_ *look, c *command) bool {
				if !c.interpreter() && c.name != "eval" {
					return false
				}
				for from, n := c.from, 0; from != nil && n < 10; from, n = from.from, n+1 {
					if decodes(from) {
						return true
					}
				}
				return strings.Contains(strings.Join(c.args, " "), "base64 -d") || strings.Contains(strings.Join(c.args, " "), "base64 --decode")
			},
		},
		{
			ID: "BC-ADD-REMOTE", Title: "ADD from the network", Severity: Medium,
			Description: "ADD takes what the server has on the day of the build; nothing says what was wanted.",
			Remediation: "Use ADD --checksum=sha256:…, or download in RUN and compare a checksum.",
			step: func(l *look) bool {
				return l.Keyword == "ADD" && !slices.ContainsFunc(l.Flags, func(f string) bool { return strings.HasPrefix(f, "--checksum") }) &&
					slices.ContainsFunc(l.list(), func(w string) bool {
						return strings.HasPrefix(w, "http://") || strings.HasPrefix(w, "https://") || strings.HasPrefix(w, "ftp://")
					})
			},
		},
		{
			ID: "BC-DOWNLOAD-HTTP", Title: "Download without encryption", Severity: Medium,
			Description: "A file is fetched by plain HTTP or FTP; everyone on the way can change it.",
			Remediation: "Use https, and compare a checksum.",
			command: func(_ *look, c *command) bool {
				return downloads(c) && slices.ContainsFunc(c.args, plainURL)
			},
		},
		{
			ID: "BC-GIT-PLAIN", Title: "Sources cloned without encryption", Severity: Medium,
			Description: "git over http:// or git:// neither encrypts nor proves who answers; everyone on the way can change the sources.",
			Remediation: "Clone by https or ssh, and check out a commit by its hash.",
			command: func(_ *look, c *command) bool {
				return (c.is("git") && c.has("clone", "fetch", "pull", "submodule", "remote") || c.is("svn", "hg")) &&
					slices.ContainsFunc(c.args, func(a string) bool {
						return plainURL(a) || strings.HasPrefix(a, "git://") || strings.HasPrefix(a, "svn://")
					})
			},
		},
		{
			ID: "BC-TLS-OFF", Title: "Certificates are not checked", Severity: High,
			Description: "The command is told to accept any certificate, so that everyone on the way can answer in place of the server.",
			Remediation: "Install the certificate of your authority (update-ca-certificates) and take the option out.",
			command:     tlsOff,
		},
		{
			ID: "BC-TLS-OFF-ENV", Title: "Certificate checks switched off for every process", Severity: High,
			Description: "An environment variable switches off the checking of certificates or of checksums in the image, at build time and later.",
			Remediation: "Take the variable out; install the certificate of your authority instead.",
			step: func(l *look) bool {
				return l.Keyword == "ENV" && slices.ContainsFunc(l.pairs(), tlsOffPair)
			},
		},
		{
			ID: "BC-REVERSE-SHELL", Title: "Connection that hands out a shell", Severity: Critical,
			Description: "The instruction connects a shell to the network.",
			Remediation: "Treat the image as compromised: find out who built it, and do not run it.",
			command: func(_ *look, c *command) bool {
				return c.is("nc", "ncat", "netcat") && c.has("-e", "-c", "--exec", "--sh-exec") || c.is("socat") && strings.Contains(strings.ToLower(c.text), "exec:") ||
					strings.Contains(c.text, "/dev/tcp/") && tcpShell().MatchString(c.text)
			},
		},
		{
			ID: "BC-MINER", Title: "Cryptocurrency miner", Severity: Critical,
			Description: "The instruction names a mining program or the protocol of a mining pool.",
			Remediation: "Treat the image as compromised unless mining is what it is for.",
			step: func(l *look) bool {
				switch l.Keyword {
				case "RUN", "CMD", "ENTRYPOINT", "ENV", "COPY", "ADD":
					return miner().MatchString(l.Text)
				}
				return false
			},
		},
	}
}

func packageRules() []Rule {
	return []Rule{
		{
			ID: "BC-PKG-UNSIGNED", Title: "Packages installed without a signature", Severity: High,
			Description: "The package manager is told to accept packages or repositories that nobody signed.",
			Remediation: "Install the key of the repository and take the option out.",
			command:     unsigned,
		},
		{
			ID: "BC-PKG-KEY", Title: "Repository key trusted for everything", Severity: Low,
			Description: "apt-key makes a key valid for every repository, not only for the one that it belongs to; it was removed from Debian for that.",
			Remediation: "Put the key below /etc/apt/keyrings and name it with signed-by in the source.",
			command: func(_ *look, c *command) bool {
				return c.is("apt-key") && c.has("add", "adv")
			},
		},
		{
			ID: "BC-PKG-REPO-HTTP", Title: "Package index without encryption", Severity: Medium,
			Description: "An index of a package manager that does not verify signatures of packages, or a new repository, is used by plain HTTP.",
			Remediation: "Use https.",
			command:     plainRepository,
		},
		{
			ID: "BC-PKG-UPGRADE", Title: "All packages upgraded", Severity: Low,
			Description: "The upgrade takes what the repositories have on the day of the build, so that two builds differ; the old versions stay in the layers below.",
			Remediation: "Start from a newer base image, and upgrade packages by name where a fix cannot wait.",
			command:     upgradesAll,
		},
		{
			ID: "BC-PKG-CACHE", Title: "Package cache left in the layer", Severity: Low,
			Description: "Package lists and downloads stay in the layer, make it larger and go stale.",
			Remediation: "Delete them in the same RUN instruction (rm -rf /var/lib/apt/lists/*, dnf clean all), or use apk add --no-cache or RUN --mount=type=cache.",
			step:        cacheLeft,
		},
		{
			ID: "BC-PKG-RECOMMENDS", Title: "Recommended packages installed", Severity: Low,
			Description: "apt installs packages that others only recommend: more software, more vulnerabilities.",
			Remediation: "Use apt-get install --no-install-recommends.",
			command: func(l *look, c *command) bool {
				return c.is("apt-get", "apt") && c.has("install") && !c.has("--no-install-recommends") && len(packages(c)) > 0 &&
					!strings.Contains(c.text, "Install-Recommends") && !strings.Contains(l.Text, "APT::Install-Recommends")
			},
		},
		{
			ID: "BC-PIP-CACHE", Title: "Cache of pip left in the layer", Severity: Low,
			Description: "pip keeps what it downloads below /root/.cache, which nobody needs in an image.",
			Remediation: "Use pip install --no-cache-dir, or RUN --mount=type=cache.",
			command: func(l *look, c *command) bool {
				return pipInstalls(c) && !c.has("--no-cache-dir") && !cacheMounted(l.Step) && !l.environment("PIP_NO_CACHE_DIR") && !removes(l.script, ".cache") &&
					!slices.ContainsFunc(c.env, func(p Pair) bool { return p.Name == "PIP_NO_CACHE_DIR" })
			},
		},
		{
			ID: "BC-PKG-LATEST", Title: "Newest version installed, whatever it is", Severity: Low,
			Description: "\"latest\" names another version tomorrow: the build cannot be repeated, and a hijacked release comes in by itself.",
			Remediation: "Name the version, and use the lock file of the package manager.",
			command:     latest,
		},
		{
			ID: "BC-FROM-LATEST", Title: "Base image without a version", Severity: Low,
			Description: "The image was built from a base image by the tag \"latest\" or by none, which names another image tomorrow.",
			Remediation: "Name the version of the base image, or its digest.",
			image: func(l *look) (int, string, bool) {
				name := l.img.Labels["org.opencontainers.image.base.name"]
				for _, h := range l.img.History[:min(len(l.img.History), maxSteps)] {
					if from, ok := strings.CutPrefix(strings.TrimSpace(h.Comment), "FROM "); ok && name == "" {
						name = strings.TrimSpace(from) // buildah says so
					}
				}
				if name == "" || len(name) > 300 || strings.Contains(name, "@") || strings.ContainsAny(name, " \n") || name == "scratch" || name == "<none>" {
					return 0, "", false
				}
				tag := ""
				if last := base(name); strings.Contains(last, ":") {
					_, tag, _ = strings.Cut(last, ":")
				}
				return -1, "FROM " + name, tag == "" || tag == "latest"
			},
		},
		{
			ID: "BC-PKG-SSHD", Title: "SSH server installed", Severity: Medium,
			Description: "A server for log-ins in a container is one more way in, with keys and passwords of its own to keep.",
			Remediation: "Take it out; use the container engine's exec, or kubectl exec, which know who asks.",
			command: func(_ *look, c *command) bool {
				return slices.ContainsFunc(packages(c), func(p string) bool {
					return slices.Contains([]string{"openssh-server", "dropbear", "ssh", "tinysshd", "openssh"}, p)
				})
			},
		},
		{
			ID: "BC-PKG-LEGACY", Title: "Program of an unencrypted protocol installed", Severity: Medium,
			Description: "telnet, rsh, ftp, tftp, talk and NIS send passwords and data in clear, or trust whoever asks.",
			Remediation: "Take the package out; use SSH, HTTPS or SFTP.",
			command: func(_ *look, c *command) bool {
				return slices.ContainsFunc(packages(c), func(p string) bool { return slices.Contains(legacy, p) })
			},
		},
		{
			ID: "BC-PKG-ATTACK", Title: "Tool of intruders installed", Severity: Low,
			Description: "The image has a tool for scanning, capturing or cracking, which serves an intruder well and the application hardly.",
			Remediation: "Take it out; attach a debug container where one is needed.",
			command: func(_ *look, c *command) bool {
				return slices.ContainsFunc(packages(c), func(p string) bool { return slices.Contains(attack, p) })
			},
		},
		{
			ID: "BC-PKG-SUDO", Title: "sudo installed", Severity: Medium,
			Description: "sudo lets processes become the superuser in a running container, and its weaknesses are the image's.",
			Remediation: "Do what needs the superuser at build time, then set USER; use no sudo.",
			command: func(_ *look, c *command) bool {
				return slices.ContainsFunc(packages(c), func(p string) bool { return p == "sudo" || p == "doas" })
			},
		},
	}
}

func accessRules() []Rule {
	return []Rule{
		{
			ID: "BC-SUDO-USED", Title: "sudo used in the build", Severity: Low,
			Description: "The build runs commands through sudo, so the image has it, and a user who may use it without a password.",
			Remediation: "Switch with USER root before the instruction and back after it.",
			command:     func(_ *look, c *command) bool { return slices.Contains(c.wrap, "sudo") || c.name == "sudo" },
		},
		{
			ID: "BC-SUDO-NOPASSWD", Title: "sudo without a password", Severity: High,
			Description: "An account may become the superuser without a password: every weakness of the application is one of the whole container.",
			Remediation: "Take the rule out of sudoers; let the application run without such rights.",
			command: func(_ *look, c *command) bool {
				return strings.Contains(c.text, "NOPASSWD")
			},
		},
		{
			ID: "BC-CHMOD-WORLD", Title: "Files that everyone may write", Severity: High,
			Description: "Permissions are opened to every account, so that each process may change programs and settings of others.",
			Remediation: "Give the file to the account that needs it (chown, COPY --chown) with the least rights.",
			command:     worldWritable,
		},
		{
			ID: "BC-SETUID", Title: "setuid or setgid bit set", Severity: Medium,
			Description: "The program runs with the rights of its owner, whoever starts it: a way to become the superuser.",
			Remediation: "Take the bit off; give the process the capability that it needs when the container starts.",
			command: func(_ *look, c *command) bool {
				return c.is("chmod") && slices.ContainsFunc(c.args, setsID) || c.is("install") && installMode(c, setsID)
			},
		},
		{
			ID: "BC-SETCAP", Title: "Dangerous capability given to a file", Severity: Medium,
			Description: "The capability lets the program do what is the superuser's, whoever starts it.",
			Remediation: "Take the capability off the file; give it to the container that needs it.",
			command: func(_ *look, c *command) bool {
				return c.is("setcap") && dangerousCap().MatchString(c.all())
			},
		},
		{
			ID: "BC-PRIVILEGED", Title: "Build step without isolation", Severity: High,
			Description: "The step asks for all rights on the build host, or runs a container that has them.",
			Remediation: "Take --security=insecure, --privileged and --network=host out; build with what the isolated builder allows.",
			step: func(l *look) bool {
				if l.Keyword != "RUN" {
					return false
				}
				if slices.ContainsFunc(l.Flags, func(f string) bool { return f == "--security=insecure" || f == "--network=host" }) {
					return true
				}
				return slices.ContainsFunc(l.script.commands, func(c *command) bool {
					return c.is("docker", "podman", "nerdctl", "buildah") && c.has("--privileged")
				})
			},
		},
		{
			ID: "BC-KERNEL", Title: "Kernel of the build host changed", Severity: Medium,
			Description: "Modules, kernel settings, devices and mounts are the host's: the command fails in an isolated build and does harm in any other.",
			Remediation: "Set it on the host.",
			command: func(_ *look, c *command) bool {
				return c.is("modprobe", "insmod", "rmmod", "mknod") || c.is("sysctl") && (c.short('w') || c.short('p')) || c.is("mount") && len(c.operands()) > 1
			},
		},
		{
			ID: "BC-PASSWORD-SET", Title: "Password set at build time", Severity: High,
			Description: "An account gets a password that stands in the history of the image and is the same in every container.",
			Remediation: "Lock the account (passwd -l); if it needs a password, set it when the container starts. Replace the password wherever it is used.",
			command:     setsPassword,
		},
		{
			ID: "BC-PASSWORD-EMPTY", Title: "Password removed from an account", Severity: High,
			Description: "Everyone can log in to an account without a password.",
			Remediation: "Lock the account (passwd -l) instead.",
			command: func(_ *look, c *command) bool {
				return c.is("passwd") && (c.short('d') || c.has("--delete")) || c.is("adduser") && c.has("--disabled-password") && c.has("--allow-empty") ||
					c.is("usermod", "useradd") && slices.ContainsFunc(c.args, func(a string) bool { return a == "" }) && (c.has("-p", "--password"))
			},
		},
		{
			ID: "BC-USER-UID0", Title: "Second superuser", Severity: High,
			Description: "An account besides root gets the user id 0: it is the superuser under another name.",
			Remediation: "Give the account an id of its own.",
			command: func(_ *look, c *command) bool {
				v, ok := c.value("-u", "--uid")
				return c.is("useradd", "usermod", "adduser") && ok && strings.Trim(v, "0") == "" && v != ""
			},
		},
		{
			ID: "BC-USER-GROUP", Title: "Account joins a group with the superuser's rights", Severity: Medium,
			Description: "Members of root, sudo, wheel, docker, disk or shadow can become the superuser or read what is the superuser's.",
			Remediation: "Make a group for the purpose.",
			command:     powerfulGroup,
		},
		{
			ID: "BC-SSH-CONFIG", Title: "SSH server opened", Severity: High,
			Description: "The SSH server is told to let the superuser or empty passwords in.",
			Remediation: "Set PermitRootLogin no and PermitEmptyPasswords no, or take the SSH server out.",
			command:     opensSSH,
		},
		{
			ID: "BC-SSH-HOSTKEY", Title: "SSH host keys are not checked", Severity: Medium,
			Description: "The SSH client is told to accept any host, or takes whatever key answers at build time.",
			Remediation: "Put the known key of the host into the build context.",
			command: func(_ *look, c *command) bool {
				return hostKey().MatchString(c.all()) || c.is("ssh-keyscan") || slices.ContainsFunc(c.env, func(p Pair) bool { return hostKey().MatchString(p.Value) })
			},
		},
		{
			ID: "BC-PROTECTION-OFF", Title: "Protection switched off", Severity: Medium,
			Description: "SELinux, AppArmor, the firewall or address randomisation is switched off.",
			Remediation: "Leave it on; write a rule for what the application needs.",
			command: func(_ *look, c *command) bool {
				return c.is("setenforce") && c.has("0", "Permissive", "permissive") || strings.Contains(c.all(), "SELINUX=disabled") || strings.Contains(c.all(), "SELINUX=permissive") ||
					c.is("ufw") && c.has("disable") || strings.Contains(c.all(), "randomize_va_space=0") || c.is("systemctl") && c.has("disable", "mask") && c.has("firewalld", "apparmor", "auditd", "firewalld.service") ||
					c.is("aa-teardown", "aa-disable")
			},
		},
	}
}

func configRules() []Rule {
	return []Rule{
		{
			ID: "BC-USER-ROOT", Title: "Processes run as root", Severity: Medium,
			Description: "The image names no user, or root: a weakness of the application is one of the whole container, and one of the runtime may be one of the host.",
			Remediation: "Create an account without rights and name it with USER as the last instruction.",
			image: func(l *look) (int, string, bool) {
				if !l.img.runsAsRoot() {
					return 0, "", false
				}
				if at := l.last("USER"); at >= 0 {
					return at, "", true
				}
				return -1, "USER root", true
			},
		},
		{
			ID: "BC-HEALTHCHECK", Title: "No health check", Severity: Low,
			Description: "Nothing tells the engine whether the application still answers.",
			Remediation: "Add HEALTHCHECK with a command that asks the application; in Kubernetes a liveness probe does the same.",
			image: func(l *look) (int, string, bool) {
				// An image that starts nothing is a base for others.
				if l.img.Health || len(l.img.Entrypoint) == 0 && len(l.img.Cmd) == 0 {
					return 0, "", false
				}
				return -1, "HEALTHCHECK NONE", true
			},
		},
		{
			ID: "BC-EXPOSE-SSH", Title: "SSH port exposed", Severity: Medium,
			Description: "The image offers log-ins over the network.",
			Remediation: "Take the SSH server and the port out.",
			step:        func(l *look) bool { return l.exposes("22", "2222") },
		},
		{
			ID: "BC-EXPOSE-PLAIN", Title: "Port of an unencrypted protocol exposed", Severity: Medium,
			Description: "FTP, telnet, TFTP, rsh, rlogin and X11 send passwords and data in clear.",
			Remediation: "Offer the service encrypted, and take the port out.",
			step:        func(l *look) bool { return l.exposes("20", "21", "23", "69", "512", "513", "514", "6000") },
		},
		{
			ID: "BC-EXPOSE-ADMIN", Title: "Port of an administration service exposed", Severity: High,
			Description: "The port belongs to the API of a container engine, a cluster or a debugger, which gives whoever reaches it full control.",
			Remediation: "Take the port out; let administrators come through a tunnel that knows them.",
			step: func(l *look) bool {
				return l.exposes("2375", "2376", "10250", "10255", "2379", "5005", "9229", "5555")
			},
		},
		{
			ID: "BC-VOLUME-HOST", Title: "Volume over a system directory", Severity: Medium,
			Description: "A volume at this place invites to mount the host's directory or the engine's socket, which gives the container the host.",
			Remediation: "Use a directory of the application's own.",
			step: func(l *look) bool {
				return l.Keyword == "VOLUME" && slices.ContainsFunc(l.list(), func(v string) bool {
					switch v = "/" + strings.Trim(v, "/"); v {
					case "/", "/etc", "/root", "/proc", "/sys", "/dev", "/boot", "/usr", "/bin", "/sbin", "/lib", "/var/run", "/run", "/var/lib/docker":
						return true
					}
					return strings.HasSuffix(v, "/docker.sock") || strings.HasSuffix(v, "/containerd.sock")
				})
			},
		},
		{
			ID: "BC-START-SSHD", Title: "Container starts an SSH server", Severity: Medium,
			Description: "What the container runs is, or contains, a server for log-ins.",
			Remediation: "Start the application alone; use the engine's exec to look inside.",
			image: func(l *look) (int, string, bool) {
				for _, k := range []struct {
					keyword string
					words   []string
				}{{"ENTRYPOINT", l.img.Entrypoint}, {"CMD", l.img.Cmd}} {
					if sshd().MatchString(strings.Join(k.words, " ")) {
						return -1, k.keyword + " " + execForm(k.words), true
					}
				}
				return 0, "", false
			},
		},
		{
			ID: "BC-START-DEBUG", Title: "Container starts with a debugger or in debug mode", Severity: Medium,
			Description: "Debug interfaces run whatever they are sent, and debug pages show settings and secrets.",
			Remediation: "Switch it off in the image; switch it on where it is needed.",
			image: func(l *look) (int, string, bool) {
				for _, k := range []struct {
					keyword string
					words   []string
				}{{"ENTRYPOINT", l.img.Entrypoint}, {"CMD", l.img.Cmd}} {
					if debugMode().MatchString(strings.Join(k.words, " ")) {
						return -1, k.keyword + " " + execForm(k.words), true
					}
				}
				for _, e := range l.img.Env {
					if debugEnv().MatchString(e) {
						return -1, "ENV " + e, true
					}
				}
				return 0, "", false
			},
		},
		{
			ID: "BC-ENV-PRELOAD", Title: "Library forced into every process", Severity: Medium,
			Description: "LD_PRELOAD makes every process load the library, a usual way to hide malware.",
			Remediation: "Set it for the one program that needs it.",
			step: func(l *look) bool {
				return l.Keyword == "ENV" && slices.ContainsFunc(l.pairs(), func(p Pair) bool { return (p.Name == "LD_PRELOAD" || p.Name == "LD_AUDIT") && p.Value != "" }) ||
					slices.ContainsFunc(l.script.commands, func(c *command) bool {
						return slices.Contains(c.into, "/etc/ld.so.preload") || c.is("tee") && c.has("/etc/ld.so.preload")
					})
			},
		},
		{
			ID: "BC-ENV-PATH", Title: "Programs looked for in a directory that others may write", Severity: Medium,
			Description: "PATH has the current directory, an empty entry or a temporary directory in it: whoever can write there decides what runs.",
			Remediation: "List directories that only root may write.",
			step: func(l *look) bool {
				return l.Keyword == "ENV" && slices.ContainsFunc(l.pairs(), func(p Pair) bool {
					if p.Name != "PATH" {
						return false
					}
					return slices.ContainsFunc(strings.Split(p.Value, ":"), func(d string) bool {
						return d == "." || d == "" || d == "/tmp" || d == "/var/tmp" || d == "/dev/shm" || strings.HasPrefix(d, "./") || strings.HasPrefix(d, "/tmp/")
					})
				})
			},
		},
	}
}

// last is the index of the last instruction with a keyword, -1 if there is
// none.
func (l *look) last(keyword string) int {
	for i := len(l.steps) - 1; i >= 0; i-- {
		if l.steps[i].Keyword == keyword {
			return i
		}
	}
	return -1
}

// environment reports whether the image sets a variable to anything.
func (l *look) environment(name string) bool {
	return slices.ContainsFunc(l.img.Env, func(e string) bool {
		n, v, _ := strings.Cut(e, "=")
		return n == name && v != "" && v != "0"
	})
}

// exposes reports whether the instruction exposes one of the ports.
func (l *look) exposes(ports ...string) bool {
	return l.Keyword == "EXPOSE" && slices.ContainsFunc(l.list(), func(w string) bool {
		port, _, _ := strings.Cut(w, "/")
		return slices.Contains(ports, port)
	})
}

var (
	tcpShell     = pattern(`sh\s+-i\b|0?<&\s*[0-9]|0>&1|sh\s+<&`)
	miner        = pattern(`(?i)\b(?:xmrig|minerd|cpuminer|ethminer|cgminer|nbminer|phoenixminer|t-rex-miner|xmr-stak)\b|stratum\+(?:tcp|ssl|tls)://|\bpool\.(?:minexmr|supportxmr|hashvault)\b`)
	dangerousCap = pattern(`(?i)\b(?:cap_sys_admin|cap_sys_ptrace|cap_sys_module|cap_sys_rawio|cap_setuid|cap_setgid|cap_dac_override|cap_dac_read_search|cap_net_admin|cap_setfcap|cap_fowner|cap_chown|all)[+,=]|(?:^|\s)=[eip]+\b`)
	sshOpen      = pattern(`(?i)Permit(?:RootLogin|EmptyPasswords)[\s=\\]+["']?yes`)
	hostKey      = pattern(`(?i)StrictHostKeyChecking[\s=]+["']?(?:no|off|false)|UserKnownHostsFile[\s=]+/dev/null`)
	sshd         = pattern(`(?:^|[\s/;&"'])(?:sshd|dropbear)(?:$|[\s;&"'])`)
	debugMode    = pattern(`-agentlib:jdwp|-Xrunjdwp|-Xdebug\b|--inspect(?:-brk)?=(?:0\.0\.0\.0|\[?::)|\bflask\b.*--debug\b|\bdebugpy\b|\bdlv\s+(?:exec|debug|attach)`)
	debugEnv     = pattern(`(?i)^(?:FLASK_DEBUG=(?:1|true)|FLASK_ENV=development|DJANGO_DEBUG=(?:1|true)|WERKZEUG_DEBUG_PIN=off|APP_DEBUG=true|RAILS_ENV=development|ASPNETCORE_ENVIRONMENT=Development)$|^(?:JAVA_TOOL_OPTIONS|JAVA_OPTS|JDK_JAVA_OPTIONS)=.*(?:-agentlib:jdwp|-Xrunjdwp)`)
)

// legacy are packages of protocols without encryption, attack those of tools
// that an intruder would bring, by their names in any distribution.
var (
	legacy = []string{"telnet", "telnetd", "telnet-server", "inetutils-telnet", "inetutils-telnetd", "busybox-extras", "rsh", "rsh-client", "rsh-server", "rsh-redone-client", "rsh-redone-server", "ftp", "ftpd",
		"inetutils-ftp", "inetutils-ftpd", "vsftpd", "proftpd", "pure-ftpd", "tftp", "tftpd", "tftp-server", "tftp-hpa", "tftpd-hpa", "atftpd", "talk", "talkd", "talk-server", "nis", "ypbind", "ypserv", "yp-tools", "xinetd", "rwho", "rwhod", "finger", "fingerd"}
	attack = []string{"nmap", "ncat", "nmap-ncat", "masscan", "zmap", "hydra", "john", "hashcat", "aircrack-ng", "ettercap", "ettercap-text-only", "sqlmap", "nikto", "metasploit-framework", "netcat", "netcat-traditional",
		"netcat-openbsd", "nc", "socat", "tcpdump", "wireshark", "tshark", "dsniff", "arpspoof", "proxychains", "proxychains4", "medusa", "responder", "mimikatz", "gdb", "strace"}
)
