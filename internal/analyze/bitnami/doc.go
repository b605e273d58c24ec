// Package bitnami reads /opt/bitnami/.bitnami_components.json, the list that
// Bitnami's images keep of the programs that were unpacked into /opt/bitnami:
// name, version with Bitnami's own revision ("1.25.3-0"), architecture. What
// those programs consist of stands in bills of materials beside them, which
// package sbom reads.
package bitnami
