package main

// `lab run --publish ADDRESS`: the gateway for a browser of this machine. The lab's network is its own, so that a socket file in the
// state folder joins the two: outside, connections to a loopback address are handed into it; inside, from it to the gateway.

import (
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
)

func webSocket(state string) string { return filepath.Join(state, "web.sock") }

// publish listens outside; when the address is taken, on a free port of the same host. Answers the URL.
func (p *plan) publish(address string) (string, error) {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return "", fmt.Errorf("--publish wants HOST:PORT: %w", err)
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return "", fmt.Errorf("--publish wants a loopback address: the lab's passwords are no secrets")
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		if listener, err = net.Listen("tcp", net.JoinHostPort(host, "0")); err != nil {
			return "", err
		}
	}
	go forward(listener, "unix", webSocket(p.State))
	return "http://" + listener.Addr().String(), nil
}

// serveWebSocket is the inner end.
func (l *lab) serveWebSocket() error {
	listener, err := net.Listen("unix", webSocket(l.plan.State))
	if err != nil {
		return err
	}
	if err := os.Chmod(webSocket(l.plan.State), 0o600); err != nil {
		return err
	}
	go forward(listener, "tcp", "10.213.0.1:8080")
	return nil
}

// forward joins each connection with one of its own to the target; either end's end is passed on.
func forward(listener net.Listener, network, target string) {
	for {
		from, err := listener.Accept()
		if err != nil {
			return
		}
		go func() {
			defer from.Close()
			to, err := net.Dial(network, target)
			if err != nil {
				return
			}
			defer to.Close()
			done := make(chan struct{}, 2)
			for _, pair := range [][2]net.Conn{{from, to}, {to, from}} {
				go func(reader, writer net.Conn) {
					_, _ = io.Copy(writer, reader)
					if half, ok := writer.(interface{ CloseWrite() error }); ok {
						_ = half.CloseWrite()
					}
					done <- struct{}{}
				}(pair[0], pair[1])
			}
			<-done
			<-done
		}()
	}
}
