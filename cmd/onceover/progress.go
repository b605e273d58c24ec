package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"golang.org/x/term"

	"github.com/onceover/onceover/internal/export"
)

// progress shows how far a command has come: one line that is written over on
// a terminal, otherwise a line for each step that is done. Safe for concurrent
// use.
type progress struct {
	mu       sync.Mutex
	w        io.Writer
	quiet    bool
	terminal bool
	width    int
	shown    bool
}

func newProgress(w io.Writer, quiet bool) *progress {
	p := &progress{w: w, quiet: quiet, width: 80}
	if f, ok := w.(*os.File); ok && term.IsTerminal(int(f.Fd())) && os.Getenv("TERM") != "dumb" {
		p.terminal = true
		if w, _, err := term.GetSize(int(f.Fd())); err == nil && w > 0 {
			p.width = w
		}
	}
	return p
}

// now shows what is being done, on a terminal only.
func (p *progress) now(format string, args ...any) {
	if p.quiet || !p.terminal {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	line := []rune("onceover: " + export.Printable(fmt.Sprintf(format, args...)))
	if len(line) >= p.width {
		line = line[:p.width-1]
	}
	fmt.Fprintf(p.w, "\r\x1b[K%s", string(line))
	p.shown = true
}

// done says that a step has ended. A terminal does not keep it.
func (p *progress) done(format string, args ...any) {
	if p.terminal {
		p.now(format, args...)
		return
	}
	p.say(format, args...)
}

// say writes a line that stays, unless quiet.
func (p *progress) say(format string, args ...any) {
	if !p.quiet {
		p.warn(format, args...)
	}
}

// warn writes a line that stays, quiet or not.
func (p *progress) warn(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
	fmt.Fprintf(p.w, "onceover: %s\n", export.Printable(strings.TrimSpace(fmt.Sprintf(format, args...))))
}

// end leaves the terminal clean.
func (p *progress) end() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.clear()
}

func (p *progress) clear() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
		p.shown = false
	}
}
