package main

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/net/netutil"

	"candor/internal/server/listen"
	"candor/internal/server/web"
)

// socket is the path of the operator socket.
func (c *config) socket() string { return filepath.Join(c.Data, "candor.sock") }

const (
	// maxHTTP bounds the connections of an HTTP listener: strangers must not use up the files that mail needs.
	maxHTTP = 500
	// lastRequest is how long a request may go on after its listener has been closed.
	lastRequest = time.Second
)

// httpServers are the operator's socket and the HTTP listeners.
type httpServers struct {
	log          *slog.Logger
	metrics      http.Handler
	certificates *listen.Certificates
	public       atomic.Pointer[http.Handler] // what HTTP listeners show

	operator  *httpServer
	listeners map[httpListener]*httpServer
}

// httpListener is what a listener's server was started for.
type httpListener struct {
	listen.Place
	tls     string
	proxies string // proxy_from, with commas
}

// openHTTP opens the operator's socket, which only the server's user may use, and the HTTP listeners.
func openHTTP(c *config, operations *web.Operations, sockets *listen.Sockets, certificates *listen.Certificates, metrics http.Handler, log *slog.Logger) (*httpServers, error) {
	h := &httpServers{log: log, metrics: metrics, certificates: certificates, listeners: map[httpListener]*httpServer{}}
	socket, err := web.Listen(c.socket())
	if err != nil {
		return nil, err // the store's lock has shown that no other server uses the data folder
	}
	h.operator = serveHTTP(socket, web.Handler(operations, metrics, log), log)
	h.begin(c, sockets)
	return h, nil
}

// begin starts the servers of the listeners that have none.
func (h *httpServers) begin(c *config, sockets *listen.Sockets) {
	public := web.Public(c.hostname, c.help(), h.metrics)
	h.public.Store(&public)
	for _, l := range c.httpListeners() {
		if h.listeners[l] != nil {
			continue
		}
		s := listen.ProxyListener(netutil.LimitListener(sockets.HTTPSocket(l.Place), maxHTTP), l.from())
		if l.tls == modeImplicit {
			s = tls.NewListener(listen.RefuseMail(s, h.log), h.certificates.HTTPS())
		}
		h.listeners[l] = serveHTTP(s, http.HandlerFunc(h.show), h.log)
	}
}

func (h *httpServers) show(w http.ResponseWriter, r *http.Request) {
	(*h.public.Load()).ServeHTTP(w, r)
}

// end stops the servers of the listeners that c, which may be nil, does not have.
func (h *httpServers) end(c *config) {
	kept := map[httpListener]bool{}
	if c != nil {
		for _, l := range c.httpListeners() {
			kept[l] = true
		}
	}
	for l, s := range h.listeners {
		if !kept[l] {
			delete(h.listeners, l)
			s.end()
		}
	}
}

// from are the proxies of the listener; nil if it has none.
func (l httpListener) from() *listen.Proxies {
	if l.proxies == "" {
		return nil
	}
	from, _ := parsePrefixes(strings.Split(l.proxies, ",")) // checked
	return &listen.Proxies{From: from}
}

func (c *config) httpListeners() (all []httpListener) {
	for _, l := range c.Listeners {
		if l.Service == "http" {
			all = append(all, httpListener{listen.Place{Name: l.Name, Address: l.Address}, string(l.TLS), strings.Join(l.ProxyFrom, ",")})
		}
	}
	return all
}

func (h *httpServers) close() {
	h.end(nil)
	h.operator.end()
}

// httpServer serves at one listener.
type httpServer struct {
	*http.Server
	accepting sync.WaitGroup
}

func serveHTTP(l net.Listener, handler http.Handler, log *slog.Logger) *httpServer {
	s := &httpServer{Server: &http.Server{
		Handler: handler, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10,
		ReadTimeout: time.Minute, WriteTimeout: 5 * time.Minute, ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}}
	s.accepting.Go(func() {
		if err := s.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			log.Error("HTTP listener ended", "address", l.Addr(), "err", err)
		}
	})
	return s
}

// end closes the listener, and the connections once their requests are done.
func (s *httpServer) end() {
	ctx, cancel := context.WithTimeout(context.Background(), lastRequest)
	defer cancel()
	if s.Shutdown(ctx) != nil {
		s.Close()
	}
	s.accepting.Wait()
}
