// Package analyzetest is for the tests of analysers: it makes analyze.File
// from bytes and from disk, and holds the suite that every analyser must pass.
package analyzetest
