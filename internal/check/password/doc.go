// Package password finds accounts whose password is weak, and says whether an
// image asks for good ones.
//
// Check reads the account files of a merged image (/etc/passwd, /etc/shadow)
// and plain-text configurations (redis, tomcat, mysql) and guesses: the empty
// password, variants of the user's name, words of the operator and a short
// list of the passwords that people really choose. It is no cracker: a
// password that it calls strong is one that none of its guesses met.
//
// The image chooses what a guess costs, so the cost is read from the hash
// before anything is computed, and guesses are paid from a budget for each
// account and one for the image. Prices are fixed numbers, not measured time:
// the same files always give the same answer. What could not be tried is
// listed with the reason.
//
// CheckComplexity reads PAM and login.defs. Neither puts a password or a hash
// into its result.
//
// Scans call both by files of layers: NewAnalyzer guesses within the sandbox, one
// file at a time, NewRulesAnalyzer keeps what CheckComplexity reads, and Results
// and ComplexityOf put together what is left after the layers are merged.
package password
