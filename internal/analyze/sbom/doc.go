// Package sbom reads bills of materials that lie in an image: CycloneDX as
// JSON and XML (cyclonedx.org/specification), SPDX as JSON, as tags and values,
// and as JSON-LD (spdx.github.io/spdx-spec). They are known by their names
// ("app.cdx.json", "bom.json") and, in the directories where image builders put
// them, by any name; Bitnami's ".spdx-NAME.spdx" are among them.
//
// What counts is the package URL: a component without one, or with one of a
// type that no analyser knows, tells nothing that could be matched, and is left
// out. A bill in a directory of the image's builder says what the builder put
// there. One that lies elsewhere belongs to any file of the image, or to none:
// its packages are declared. Either way report.Merge folds a package into the
// one that the image's own evidence names alike.
//
// Documents are read as a stream, whatever their size, and nothing that is not
// wanted is kept. Bills inside of archives and programs are not read, nor are
// the forms of single scanners.
package sbom
