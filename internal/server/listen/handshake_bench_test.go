package listen

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"sync"
	"testing"
	"time"
)

// BenchmarkHandshakes compares a listener with what crypto/tls does alone, with the same certificate, in turn: whole
// handshakes a second of connections that then end, and the listener's share in per cent (issue 4 demands 90).
func BenchmarkHandshakes(b *testing.B) {
	certs := certificates(b)
	listener := serve(b, Options{
		Listeners: []Listener{{Service: IMAP, Mode: Implicit}}, Certificates: certs, Limits: Limits{Exempt: loopbackNet},
		Handlers: map[Service]Handler{IMAP: func(_ context.Context, c *Conn) {
			c.WriteString("hello\r\n")
			c.Flush()
			c.ReadLine(100)
		}},
	})
	alone := serveAlone(b, &tls.Config{
		Certificates: []tls.Certificate{*certs.current.Load().list[0].Certificate},
		CipherSuites: suites, CurvePreferences: groups, NextProtos: protocols[IMAP],
	})
	var spent [2]time.Duration
	for b.Loop() {
		for i, address := range []string{listener.Addrs()[0].String(), alone} {
			began := time.Now()
			shakeMany(b, address)
			spent[i] += time.Since(began)
		}
	}
	total := float64(b.N * clientsAtOnce * handshakesEach)
	b.ReportMetric(total/spent[0].Seconds(), "listener/s")
	b.ReportMetric(total/spent[1].Seconds(), "alone/s")
	b.ReportMetric(100*spent[1].Seconds()/spent[0].Seconds(), "%")
}

const (
	clientsAtOnce  = 8
	handshakesEach = 25
)

func shakeMany(b *testing.B, address string) {
	var clients sync.WaitGroup
	for range clientsAtOnce {
		clients.Go(func() {
			for range handshakesEach {
				c, err := tls.Dial("tcp", address, clientTLS("imap"))
				if err != nil {
					b.Error(err)
					return
				}
				if _, err := io.ReadFull(c, make([]byte, 7)); err != nil {
					b.Error(err)
				}
				c.Close()
			}
		})
	}
	clients.Wait()
}

// serveAlone is the least of a TLS server.
func serveAlone(b *testing.B, config *tls.Config) (address string) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			raw, err := l.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				c := tls.Server(raw, config)
				defer c.Close()
				if c.Handshake() == nil {
					io.WriteString(c, "hello\r\n")
					c.Read(make([]byte, 100))
				}
			})
		}
	})
	b.Cleanup(func() { l.Close(); conns.Wait() })
	return l.Addr().String()
}
