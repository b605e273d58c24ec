// Package cri asks a container runtime over the Kubernetes CRI (API runtime.v1,
// kubernetes/cri-api) which pods and containers it runs: containerd by its CRI
// plugin, CRI-O by its socket.
//
// Three calls are made and a dozen fields are read, so that the messages are
// decoded here from the wire and not by generated code. Images are none of its
// affair: the sources of the engines join what it says to their containers by
// the container's ID.
package cri
