// Package all lists every analyser that a scan runs. The list is explicit:
// adding an analyser is one line here.
package all
