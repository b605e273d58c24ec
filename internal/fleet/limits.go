package fleet

import (
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// Limits of the protocol. The server refuses what crosses them; the client
// keeps within them by Trim.
const (
	// MaxBodyBytes is the largest request as sent.
	MaxBodyBytes = 32 << 20
	// MaxPlainBytes is the largest request after decompression. The report
	// of a layer with a million files takes some 25 MB.
	MaxPlainBytes = 128 << 20
	// MaxObjects bounds the JSON objects of one request: an empty one takes
	// two bytes as sent and a hundred times that in memory. A report with
	// MaxPackages packages, each with its list of files, fits.
	MaxObjects = 1_100_000
	// MaxWait is how long a sync may be parked.
	MaxWait = 60 * time.Second
	// MaxImages is how many images an agent reports.
	MaxImages = 20_000
	// MaxNames bounds the names, and again the repository digests, of one
	// image.
	MaxNames = 256
	// MaxContainers bounds the containers of one image.
	MaxContainers = 2_000
	// MaxEngines bounds the engines of a host.
	MaxEngines = 32
	// MaxHolds bounds the leases an agent works on at once, and how many it
	// may ask for.
	MaxHolds = 64
	// MaxLayers bounds the layers of an image. Engines stop at 127.
	MaxLayers = 1_000
	// MaxPackages bounds the packages of one layer.
	MaxPackages = 500_000
	// MaxProblems bounds the problems of one layer report.
	MaxProblems = 100_000
	// MaxText is the longest name, address or version, in bytes.
	MaxText = 512
	// MaxMessage is the longest failure message, in bytes.
	MaxMessage = 4 << 10
	// MaxWords bounds the words to guess passwords with, MaxWordBytes one
	// of them (as in package password).
	MaxWords     = 300
	MaxWordBytes = 128
)

// maxWindow is the largest zstd window the server allocates.
const maxWindow = 8 << 20

// Trim cuts a list of images to what the protocol carries, and takes control
// characters out of its texts: names of images and containers are chosen by
// whoever made them.
func Trim(images []ImageState) []ImageState {
	if len(images) > MaxImages {
		images = images[:MaxImages]
	}
	for i := range images {
		m := &images[i]
		m.Engine = clean(m.Engine, MaxText)
		m.NonScanReason = clean(m.NonScanReason, MaxText)
		m.Platform.OS = clean(m.Platform.OS, MaxText)
		m.Platform.Arch = clean(m.Platform.Arch, MaxText)
		m.Platform.Variant = clean(m.Platform.Variant, MaxText)
		m.Names = m.Names[:min(len(m.Names), MaxNames)]
		for j := range m.Names {
			m.Names[j].Name = clean(m.Names[j].Name, MaxText)
			m.Names[j].Tag = clean(m.Names[j].Tag, MaxText)
		}
		m.RepoDigests = m.RepoDigests[:min(len(m.RepoDigests), MaxNames)]
		for j := range m.RepoDigests {
			m.RepoDigests[j] = clean(m.RepoDigests[j], MaxText)
		}
		m.Containers = m.Containers[:min(len(m.Containers), MaxContainers)]
		for j := range m.Containers {
			c := &m.Containers[j]
			c.ID, c.Name = clean(c.ID, MaxText), clean(c.Name, MaxText)
			c.PodID, c.PodName = clean(c.PodID, MaxText), clean(c.PodName, MaxText)
			c.EntryPoint = clean(c.EntryPoint, MaxText)
		}
		m.Size = max(0, m.Size)
	}
	return images
}

// TrimHost does the same for a host: engines put into their errors whatever
// they were told.
func TrimHost(h Host) Host {
	h.ID, h.Name = clean(h.ID, MaxText), clean(h.Name, MaxText)
	h.OS, h.Arch, h.Version = clean(h.OS, MaxText), clean(h.Arch, MaxText), clean(h.Version, MaxText)
	h.Engines = slices.Clone(h.Engines[:min(len(h.Engines), MaxEngines)])
	for i := range h.Engines {
		e := &h.Engines[i]
		e.Name, e.Version, e.Error = clean(e.Name, MaxText), clean(e.Version, MaxText), clean(e.Error, MaxMessage)
	}
	return h
}

// clean makes s valid UTF-8 without control characters, and cuts it at a
// rune.
func clean(s string, most int) string {
	s = strings.Map(func(c rune) rune {
		if c < ' ' || c == 0x7f {
			return ' '
		}
		return c
	}, strings.ToValidUTF8(s, "\uFFFD"))
	if len(s) <= most {
		return s
	}
	s = s[:most]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s
}
