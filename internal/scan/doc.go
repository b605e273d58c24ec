// Package scan is the pipeline: it takes an image from its source, analyses
// each layer that nobody has analysed yet, and merges the layer reports into
// the inventory of the image.
//
// The agent, the server and the command line all call it, so that one image
// has one answer. It holds no advisory data and draws no conclusions.
package scan
