package main

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"time"
)

// Limits of the HTTP server. A slow client holds a connection for no longer
// than these; a parked sync of an agent sets its own write deadline.
const (
	readHeaderTimeout = 10 * time.Second
	readTimeout       = 5 * time.Minute
	writeTimeout      = 5 * time.Minute
	idleTimeout       = 2 * time.Minute
	maxHeaderBytes    = 64 << 10
	// drainTime is how long requests may go on after a signal.
	drainTime = 20 * time.Second
)

// checkListen refuses to serve secrets in the clear beyond this machine.
func checkListen(addr string, tls, insecure bool) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return usagef("--listen %s: want HOST:PORT", addr)
	}
	if tls || insecure || isLoopback(host) {
		return nil
	}
	return usagef("--listen %s is not a loopback address: give --tls-cert and --tls-key, or say --insecure-http if something in front of the server does TLS", addr)
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip := net.ParseIP(host)
	return ip != nil && ip.IsLoopback()
}

// endpointOf is the URL that clients use. A server on all addresses is named
// by the loopback address.
func endpointOf(addr net.Addr, tls bool) string {
	scheme := "http"
	if tls {
		scheme = "https"
	}
	host, port, err := net.SplitHostPort(addr.String())
	if err != nil {
		return scheme + "://" + addr.String()
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return scheme + "://" + net.JoinHostPort(host, port)
}

// memoryListener connects the embedded agent to the server inside the process.
// The agent speaks the protocol that any agent speaks, and neither TLS nor the
// address of the server can come between.
type memoryListener struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

func newMemoryListener() *memoryListener {
	return &memoryListener{conns: make(chan net.Conn), done: make(chan struct{})}
}

func (l *memoryListener) Accept() (net.Conn, error) {
	select {
	case c := <-l.conns:
		return c, nil
	case <-l.done:
		return nil, net.ErrClosed
	}
}

func (l *memoryListener) Close() error {
	l.once.Do(func() { close(l.done) })
	return nil
}

func (l *memoryListener) Addr() net.Addr { return memoryAddr{} }

type memoryAddr struct{}

func (memoryAddr) Network() string { return "memory" }
func (memoryAddr) String() string  { return "in-process" }

// memoryEndpoint stands for the address; the dialer does not look at it.
const memoryEndpoint = "http://in-process"

// client makes an HTTP client that reaches this listener whatever the URL.
func (l *memoryListener) client() *http.Client {
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			here, there := net.Pipe()
			select {
			case l.conns <- there:
				return here, nil
			case <-l.done:
				return nil, errors.Join(net.ErrClosed, here.Close(), there.Close())
			case <-ctx.Done():
				return nil, errors.Join(ctx.Err(), here.Close(), there.Close())
			}
		},
		MaxIdleConnsPerHost: 8,
		IdleConnTimeout:     idleTimeout,
	}}
}
