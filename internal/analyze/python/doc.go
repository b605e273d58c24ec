// Package python reads the core metadata of installed Python distributions:
// NAME.dist-info/METADATA (wheels), NAME.egg-info/PKG-INFO and
// EGG-INFO/PKG-INFO (eggs), and single files NAME.egg-info (distutils). The
// format is that of the "Core metadata specifications" of the Python Packaging
// User Guide: header fields, a blank line, a description that is not read.
//
// Names are normalised as PEP 503 says, because that is how advisories and
// indexes compare them. Zipped eggs are not opened.
package python
