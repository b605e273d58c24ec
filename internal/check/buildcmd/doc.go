// Package buildcmd finds risks in the commands that built an image.
//
// Builders write history in different hands (docker, BuildKit, buildah,
// kaniko): Steps brings it into one, instruction by instruction. What a RUN
// instruction executes is parsed as a shell does; rules look at commands and
// their arguments, not at text. The configuration counts as well: what the
// image runs as, exposes and sets.
//
// Check is a pure function of the image configuration. History is what the
// builder chose to write, and anyone may write anything there: it is bounded
// in length, nesting and number, and what could not be parsed is looked at
// word by word and counted. Instructions are shown with passwords, keys and
// tokens masked.
package buildcmd
