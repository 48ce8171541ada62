package main

// A mail sink: takes every mail that is sent to it and keeps each as a file.

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

func startMailSink(address, dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	var count int64
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			go takeMails(connection, func(text string) error {
				n := atomic.AddInt64(&count, 1)
				file := filepath.Join(dir, fmt.Sprintf("%04d", n))
				if err := os.WriteFile(file+".new", []byte(text), 0o644); err != nil {
					return err
				}
				return os.Rename(file+".new", file)
			})
		}
	}()
	return nil
}

// takeMails speaks the server's side of SMTP as far as senders need it.
func takeMails(connection net.Conn, keep func(string) error) {
	defer connection.Close()
	_ = connection.SetDeadline(time.Now().Add(10 * time.Minute))
	reader := bufio.NewReader(connection)
	say := func(line string) { fmt.Fprintf(connection, "%s\r\n", line) }
	say("220 lab ESMTP")
	envelope := ""
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return
		}
		line = strings.TrimRight(line, "\r\n")
		verb := strings.ToUpper(line)
		switch {
		case strings.HasPrefix(verb, "EHLO"):
			say("250-lab")
			say("250-8BITMIME")
			say("250 SMTPUTF8")
		case strings.HasPrefix(verb, "HELO"):
			say("250 lab")
		case strings.HasPrefix(verb, "MAIL FROM:"), strings.HasPrefix(verb, "RCPT TO:"):
			envelope += "X-Envelope-" + verb[:4] + ": " + line[strings.IndexByte(line, ':')+1:] + "\r\n"
			say("250 OK")
		case verb == "DATA":
			say("354 go on")
			text, err := readData(reader)
			if err != nil {
				return
			}
			if err := keep(envelope + text); err != nil {
				say("451 not kept")
			} else {
				say("250 kept")
			}
			envelope = ""
		case strings.HasPrefix(verb, "RSET"):
			envelope = ""
			say("250 OK")
		case strings.HasPrefix(verb, "NOOP"):
			say("250 OK")
		case strings.HasPrefix(verb, "QUIT"):
			say("221 bye")
			return
		default:
			say("500 what?")
		}
	}
}

func readData(reader *bufio.Reader) (string, error) {
	var b strings.Builder
	for {
		line, err := reader.ReadString('\n')
		if err != nil {
			return "", err
		}
		if line == ".\r\n" || line == ".\n" {
			return b.String(), nil
		}
		b.WriteString(strings.TrimPrefix(line, "."))
	}
}
