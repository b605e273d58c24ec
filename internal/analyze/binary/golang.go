package binary

import (
	"context"
	"debug/buildinfo"

	"github.com/onceover/onceover/internal/analyze"
)

// goPrograms are programs written in Go, by file name. Built with modules they
// are found by package gobinary, under the name of their module and with what
// they are made of. Here they are listed if they have no main module: built
// before 2019, or by a distribution that builds without modules.
var goPrograms = map[string]string{
	"alertmanager": "alertmanager", "argocd": "argo-cd", "buildah": "buildah", "caddy": "caddy",
	"cockroach": "cockroach", "consul": "consul", "containerd": "containerd", "coredns": "coredns",
	"ctr": "containerd", "docker": "docker-cli", "dockerd": "docker", "etcd": "etcd", "etcdctl": "etcd",
	"gitea": "gitea", "gitlab-runner": "gitlab-runner", "gosu": "gosu", "grafana": "grafana",
	"grafana-server": "grafana", "helm": "helm", "hugo": "hugo", "influxd": "influxdb",
	"kube-apiserver": "kube-apiserver", "kube-controller-manager": "kube-controller-manager",
	"kube-proxy": "kube-proxy", "kube-scheduler": "kube-scheduler", "kubeadm": "kubeadm",
	"kubectl": "kubectl", "kubelet": "kubelet", "minio": "minio", "nats-server": "nats-server",
	"nginx-ingress-controller": "nginx-ingress-controller", "node_exporter": "node_exporter", "nomad": "nomad",
	"packer": "packer", "pilot-agent": "pilot-agent", "pilot-discovery": "pilot-discovery", "podman": "podman",
	"prometheus": "prometheus", "promtool": "prometheus", "rclone": "rclone", "registry": "registry", "restic": "restic",
	"runc": "runc", "skopeo": "skopeo", "telegraf": "telegraf", "terraform": "terraform", "traefik": "traefik",
	"vault": "vault",
}

// maxBuildInfoBytes is read for Go's build information, at most.
const maxBuildInfoBytes = 64 << 20

// findGo is the program called name, written in Go, if it has no main module and
// its linker was told the version.
func findGo(ctx context.Context, f analyze.File, name string) (*finding, error) {
	b := analyze.NewBudget(ctx, f, maxBuildInfoBytes)
	info, _ := analyze.FindSection(b, ".go.buildinfo")
	if info == nil {
		// Go 1.12 and older left no information; its tables prove it.
		if tables, _ := analyze.FindSection(b, ".gopclntab"); tables == nil {
			return nil, b.Err()
		}
	} else if bi, err := buildinfo.Read(b); err != nil || bi.Main.Path != "" {
		return nil, b.Err() // gobinary's, even if damaged
	}
	v, err := analyze.LinkedVersion(ctx, f.Reader())
	if v == "" || err != nil {
		return nil, err
	}
	return &finding{name, v}, nil
}
