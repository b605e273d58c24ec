package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/onceover/onceover/internal/analyze/all"
	"github.com/onceover/onceover/internal/pace"
	"github.com/onceover/onceover/internal/sandbox"
	"github.com/onceover/onceover/internal/scan"
)

// sandboxFlags are shared by the commands that read layers.
type sandboxFlags struct {
	NoSandbox bool `help:"Read layers in this process instead of sandboxed ones. For debugging only: what is in an image can then harm this program." env:"ONCEOVER_NO_SANDBOX"`
}

// contractFlags say what an agent may take of its host.
type contractFlags struct {
	CPUPercent int      `name:"cpu-percent" help:"Take at most N percent of one processor while others are busy." default:"${cpu_percent}" placeholder:"N" env:"ONCEOVER_CPU_PERCENT"`
	Memory     byteSize `help:"Take at most SIZE of memory, layers that are being read included." default:"${memory}" placeholder:"SIZE" env:"ONCEOVER_MEMORY"`
	FullSpeed  bool     `help:"Take what there is." env:"ONCEOVER_FULL_SPEED"`
}

const (
	// minMemory is what an agent cannot do without.
	minMemory = 160 << 20
	// Parts of --memory, in percent: for the agent itself, and for what the
	// process that reads a layer takes on top of what it starts with. The
	// rest is for that, and for room.
	ownPercent, layerPercent = 25, 55
	// Limits where nothing bounds the whole: for the process that reads one
	// layer, and for one file of a stream in its memory.
	fullLayerMemory = 512 << 20
	fullFileMemory  = 32 << 20
)

// Validate checks the bounds.
func (c *contractFlags) Validate() error {
	if c.CPUPercent < 1 {
		return errors.New("--cpu-percent: want a number from 1")
	}
	if c.Memory < minMemory {
		return fmt.Errorf("--memory: want %s at least", bytesText(minMemory))
	}
	return nil
}

// isolation is how an agent reads layers under the contract, one at a time. It
// also bounds the memory of this process if that is nothing but an agent.
func (c *contractFlags) isolation(sf sandboxFlags, alone bool) (*scan.Isolation, func()) {
	if sf.NoSandbox {
		slog.Warn("layers are read without a sandbox, and the contract on processor and memory is not kept")
		return nil, func() {}
	}
	iso := fullIsolation()
	iso.OnLacking = func(lacking []string) {
		slog.Warn("the kernel lacks a part of the sandbox for layers", "lacking", strings.Join(lacking, "; "))
	}
	if c.FullSpeed {
		return iso, func() {}
	}
	boundMemory(iso, c.Memory, 1)
	iso.Limits.Idle = true
	if alone {
		debug.SetMemoryLimit(int64(c.Memory) * ownPercent / 100)
	}
	keeper := pace.New(pace.Config{CPUPercent: c.CPUPercent, Group: alone, Memory: iso.Limits.Memory + iso.Limits.Memory/8, Log: slog.Default()})
	slog.Info("contract with this host", "cpu_percent", c.CPUPercent, "memory", int64(c.Memory), "by", keeper.Means())
	iso.Pace = keeper
	return iso, keeper.Close
}

// boundMemory bounds what reading parallel layers takes.
func boundMemory(iso *scan.Isolation, memory byteSize, parallel int) {
	iso.Limits.Memory = int64(memory) * layerPercent / 100 / int64(parallel)
	iso.FileMemory = iso.Limits.Memory / 8
}

// isolation is how "onceover scan" reads layers: at full speed, unless it is
// told what it may take.
func (c *lookFlags) isolation() (*scan.Isolation, func()) {
	if c.Parallel == 0 && c.Memory > 0 {
		c.Parallel = 1
	}
	c.Parallel = parallel(c.Parallel)
	if c.Sandbox.NoSandbox {
		return nil, func() {}
	}
	iso := fullIsolation()
	if c.Memory > 0 {
		boundMemory(iso, c.Memory, c.Parallel)
		debug.SetMemoryLimit(int64(c.Memory) * ownPercent / 100)
	}
	if c.CPUPercent == 0 {
		return iso, func() {}
	}
	iso.Limits.Idle = true
	keeper := pace.New(pace.Config{CPUPercent: c.CPUPercent})
	iso.Pace = keeper
	return iso, keeper.Close
}

// fullIsolation is how layers are read at full speed.
func fullIsolation() *scan.Isolation {
	return &scan.Isolation{Limits: sandbox.Limits{Memory: fullLayerMemory}, FileMemory: fullFileMemory}
}

// byteSize is a number of bytes, "256MB".
type byteSize int64

// UnmarshalText reads a number with a unit of 1024 or 1000, or none for bytes.
func (b *byteSize) UnmarshalText(text []byte) error {
	s := strings.ToLower(strings.TrimSpace(string(text)))
	unit := int64(1)
	for _, u := range []struct {
		name string
		size int64
	}{{"kib", 1 << 10}, {"mib", 1 << 20}, {"gib", 1 << 30}, {"kb", 1 << 10}, {"mb", 1 << 20}, {"gb", 1 << 30}, {"k", 1 << 10}, {"m", 1 << 20}, {"g", 1 << 30}, {"b", 1}} {
		if rest, ok := strings.CutSuffix(s, u.name); ok {
			s, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return fmt.Errorf("%q is no size such as 256MB", text)
	}
	*b = byteSize(n * unit)
	return nil
}

// filesFlags say whether an agent takes the digests of files.
type filesFlags struct {
	NoFiles bool `help:"Do not take the SHA-256 of executables and of files that no package owns. Less of each image is read then, and nobody can ask who has a file." env:"ONCEOVER_NO_FILES"`
}

// printSandbox tries the sandbox and says what it is made of here.
func printSandbox(ctx context.Context, out io.Writer) error {
	lacking, err := scan.TrySandbox(ctx, all.Set())
	if errors.Is(err, sandbox.ErrUnsupported) {
		_, err = fmt.Fprintln(out, "sandbox: none on this system; layers are read in the program itself")
		return err
	}
	if err != nil {
		return fmt.Errorf("try sandbox: %w", err)
	}
	if len(lacking) == 0 {
		_, err = fmt.Fprintln(out, "sandbox: complete (Landlock, filter of system calls, capabilities, limits)")
		return err
	}
	for _, s := range lacking {
		if _, err := fmt.Fprintln(out, "sandbox lacks", s); err != nil {
			return err
		}
	}
	return nil
}
