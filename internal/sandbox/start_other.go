//go:build !linux

package sandbox

import (
	"os"
	"time"
)

// A Process is a running child.
type Process struct{}

// Start is not supported here.
func Start(Command) (*Process, error) { return nil, ErrUnsupported }

// PID of the child.
func (*Process) PID() int { return 0 }

// Kill ends the child.
func (*Process) Kill() {}

// Wait waits for the end of the child.
func (*Process) Wait() Exit { return Exit{} }

// Done is closed when the child has ended.
func (*Process) Done() <-chan struct{} { return nil }

// CPU is the processor time that the child has taken so far.
func (*Process) CPU() time.Duration { return 0 }

// CPU is not known here.
func CPU(int) (time.Duration, error) { return 0, ErrUnsupported }

// Enter is not supported here.
func Enter(Policy) ([]string, error) { return nil, ErrUnsupported }

// SpoolFile makes a temporary file without a name.
func SpoolFile() (*os.File, error) { return nil, ErrUnsupported }
