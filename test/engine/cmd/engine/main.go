// Command engine starts a container engine of its own for scripts and manual
// tests, prints where it listens, and stops it when it is interrupted.
//
//	go run ./test/engine/cmd/engine docker --dir /tmp/demo --load web.tar
//
// The first line on standard output is the path of the engine's socket;
// everything else goes to standard error. With --env the output is shell
// assignments instead: SOCKET, CONTAINERD_SOCKET, DATA_ROOT. Flags come after
// the kind of engine: docker, docker-vfs, docker-containerd, containerd, podman or
// podman-vfs.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/onceover/onceover/test/engine"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "engine:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if len(args) == 0 || strings.HasPrefix(args[0], "-") {
		return fmt.Errorf("usage: engine KIND [--dir DIR] [--load FILE]... [--run IMAGE]... [--env]; KIND is one of %v", engine.Kinds())
	}
	var load, runs []string
	flags := flag.NewFlagSet("engine", flag.ContinueOnError)
	dir := flags.String("dir", "", "keep data in `DIR`; without it in a temporary directory that is removed at the end")
	env := flags.Bool("env", false, "print shell assignments")
	flags.Func("load", "load an image archive `FILE` (may be repeated)", func(s string) error { load = append(load, s); return nil })
	flags.Func("run", "start a container `IMAGE=COMMAND`, words separated by spaces (may be repeated)", func(s string) error { runs = append(runs, s); return nil })
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	e, err := engine.Start(ctx, engine.Kind(args[0]), *dir)
	if err != nil {
		return err
	}
	defer e.Stop()
	for _, file := range load {
		if err := e.Load(ctx, file); err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "engine: loaded", file)
	}
	for i, r := range runs {
		image, cmd, _ := strings.Cut(r, "=")
		id, err := e.Run(ctx, engine.Container{Image: image, Name: fmt.Sprintf("run-%d", i+1), Cmd: strings.Fields(cmd)})
		if err != nil {
			return err
		}
		fmt.Fprintln(os.Stderr, "engine: started", id)
	}
	if *env {
		fmt.Printf("SOCKET=%s\nCONTAINERD_SOCKET=%s\nDATA_ROOT=%s\n", e.Socket, e.ContainerdSocket, e.DataRoot)
	} else {
		fmt.Println(e.Socket)
	}
	<-ctx.Done()
	if !errors.Is(ctx.Err(), context.Canceled) {
		return ctx.Err()
	}
	return nil
}
