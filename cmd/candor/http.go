package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/net/netutil"

	"candor/internal/server/listen"
	"candor/internal/server/web"
)

// socket is the path of the operator socket.
func (c *config) socket() string { return filepath.Join(c.Data, "candor.sock") }

// maxHTTP bounds the connections of an HTTP listener: strangers must not use up the files that mail needs.
const maxHTTP = 500

// httpServers are the operator's socket and the HTTP listeners.
type httpServers struct {
	servers []*http.Server
	wg      sync.WaitGroup
}

// openHTTP opens the operator's socket, which only the server's user may use, and the HTTP listeners.
func (p *parts) openHTTP(c *config, operations *web.Operations, certificates *listen.Certificates, log *slog.Logger, doors *listen.Server) (_ *httpServers, err error) {
	h := &httpServers{}
	defer func() {
		if err != nil {
			h.close()
		}
	}()
	metrics := web.Metrics(p.sources(doors)...)
	socket, err := web.Listen(c.socket())
	if err != nil {
		return nil, err // the store's lock has shown that no other server uses the data folder
	}
	h.serve(socket, web.Handler(operations, metrics, log), log)
	for _, l := range c.Listeners {
		if l.Service != "http" {
			continue
		}
		socket, err := listen.Socket(l.Name, l.Address)
		if err != nil {
			return nil, err
		}
		s := netutil.LimitListener(socket, maxHTTP)
		if l.TLS == modeImplicit {
			s = tls.NewListener(s, certificates.HTTPS())
		}
		h.serve(s, web.Public(c.hostname, c.help(), metrics), log)
	}
	return h, nil
}

func (h *httpServers) serve(l net.Listener, handler http.Handler, log *slog.Logger) {
	s := &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ReadTimeout: time.Minute, WriteTimeout: 5 * time.Minute, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
	h.servers = append(h.servers, s)
	h.wg.Go(func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("HTTP listener ended", "address", l.Addr(), "err", err)
		}
	})
}

func (h *httpServers) close() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	for _, s := range h.servers {
		if s.Shutdown(ctx) != nil {
			s.Close()
		}
	}
	h.wg.Wait()
}
