// Package planted makes, at run time, what the checks look for: secrets of
// every kind, malware, settings and accounts that are not safe, risks in the
// build, and images that hold them all, beside a clean one. Each run makes new
// values, so that a test can ask whether one of them got out.
//
// Nothing here is a secret, works as malware, or stands in the source in one
// piece: scanners of source trees have nothing to find.
package planted
