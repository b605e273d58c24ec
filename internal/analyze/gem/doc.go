// Package gem reads the specifications of installed Ruby gems
// (specifications/NAME-VERSION.gemspec, with those of default and bundled gems
// beneath it).
//
// A gemspec is a Ruby program, but those in a specifications directory are
// written by RubyGems (Gem::Specification#to_ruby) in a fixed form. We read the
// assignments of literals in it and evaluate nothing. A platform other than
// "ruby" is told as the architecture.
package gem
