package agent

import (
	"bufio"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"strings"

	"github.com/onceover/onceover/internal/fleet"
)

// hostFacts says what this machine is. Engines are added with each sync.
func hostFacts(id, version string) fleet.Host {
	name, err := os.Hostname()
	if err != nil || name == "" {
		name = "host-" + id[:8]
	}
	return fleet.Host{
		ID: id, Name: name, PrivateIP: privateIP(),
		OS: osName("/etc/os-release"), Arch: runtime.GOARCH, Version: version,
	}
}

// privateIP is the IPv4 address that the default route leaves from, or else
// the first one that is not a loopback's; "" without a network. Connecting a
// UDP socket sends nothing.
func privateIP() string {
	if c, err := net.Dial("udp4", "192.0.2.1:9"); err == nil { // TEST-NET-1, RFC 5737
		defer c.Close()
		if a, err := netip.ParseAddrPort(c.LocalAddr().String()); err == nil && usable(a.Addr()) {
			return a.Addr().String()
		}
	}
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		return ""
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && usable(p.Addr()) {
			return p.Addr().String()
		}
	}
	return ""
}

func usable(a netip.Addr) bool {
	return a.Is4() && !a.IsLoopback() && !a.IsUnspecified() && !a.IsLinkLocalUnicast()
}

// osName is PRETTY_NAME of os-release(5), or the kernel's name.
func osName(path string) string {
	f, err := os.Open(path)
	if err != nil {
		return runtime.GOOS
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if v, ok := strings.CutPrefix(s.Text(), "PRETTY_NAME="); ok {
			if u, err := strconv.Unquote(v); err == nil {
				v = u
			}
			if v = strings.Trim(v, `'"`); v != "" && len(v) <= fleet.MaxText {
				return v
			}
		}
	}
	return runtime.GOOS
}
