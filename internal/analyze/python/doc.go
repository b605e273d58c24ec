// Package python reads the core metadata of installed Python distributions:
// NAME.dist-info/METADATA (wheels), NAME.egg-info/PKG-INFO and
// EGG-INFO/PKG-INFO (eggs), and single files NAME.egg-info (distutils). The
// format is that of the "Core metadata specifications" of the Python Packaging
// User Guide: header fields, a blank line, a description that is not read.
//
// Names are normalised as PEP 503 says, because that is how advisories and
// indexes compare them.
//
// The same files are read in archives that Python imports from: zipped eggs and
// applications made by zipapp, shiv or pex. Wheels are left alone: they are there to
// be installed.
package python
