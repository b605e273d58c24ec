//go:build !linux

package pace

import (
	"errors"
	"os"
	"time"
)

const cgroupRoot = ""

var errNotHere = errors.New("not on this system")

func processCPU(int) (time.Duration, error) { return 0, errNotHere }
func signalStop(int)                        {}
func signalContinue(int)                    {}

type host struct{}

func newHost() host                                   { return host{} }
func (*host) reset()                                  {}
func (*host) look(time.Duration, time.Duration) state { return state{} }

type group struct{ dir *os.File }

func newGroup(string, int) (*group, error) { return nil, errNotHere }
func (*group) setCPU(float64) error        { return errNotHere }
func (*group) setMemory(int64) error       { return errNotHere }
func (*group) close()                      {}
