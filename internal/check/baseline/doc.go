// Package baseline checks how an image is configured: its SSH daemon, its
// accounts and passwords, the modes of its files, PAM, login.defs, sudo, its
// package sources, nginx, redis, MySQL, Tomcat and the image configuration.
//
// It has two halves. Facts runs once for each configuration file of a layer,
// within the sandbox: it reduces the file to what rules may ask for. The content is
// hostile, so every parser is bounded; and facts are kept, so nothing secret
// leaves it: a password is "set", "empty" or "locked", a hash is its kind, and
// the value of an option is kept only if the option is known to hold no secret.
//
// Evaluate runs on the facts of the merged image. It joins the files as the
// programs themselves would (Include of sshd, include of nginx), and asks each
// rule of a RuleSet that concerns the image's distribution. Rules are YAML with
// CEL expressions (docs/baseline.md); the cost of each is limited before and
// while it runs. What a rule speaks of and the image does not have is "not
// applicable", never failed.
//
// Scans take facts with NewAnalyzer; ImageOf makes the image of them that Evaluate
// is asked about, after the layers are merged.
//
// The package reads nothing but its arguments and the rules that it embeds. It
// does not look for weak passwords, and it does not judge build commands.
package baseline
