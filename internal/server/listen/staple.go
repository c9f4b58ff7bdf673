package listen

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"
)

// How long until a responder is asked again that has failed: doubled each time.
const (
	shortestRetry = time.Minute
	longestRetry  = time.Hour
)

// certificate is one that is served, with the OCSP response that is stapled to it.
type certificate struct {
	*tls.Certificate
	file   string
	issuer *x509.Certificate // nil when the chain does not hold it
	staple atomic.Pointer[staple]
}

// staple is a certificate together with its response.
type staple struct {
	response
	served *tls.Certificate
}

// serve is what a client is shown: with the response, as long as that holds.
func (c *certificate) serve() *tls.Certificate {
	if s := c.staple.Load(); s != nil && time.Now().Before(s.ends) {
		return s.served
	}
	return c.Certificate
}

// named reports whether the certificate names a responder that can be asked.
func (c *certificate) named() bool { return len(responders(c.Leaf)) > 0 && c.issuer != nil }

func (c *certificate) attach(r *response) {
	with := *c.Certificate
	with.OCSPStaple = r.der
	c.staple.Store(&staple{*r, &with})
}

// kept is where the response is kept over a restart.
func (c *certificate) kept(dir string) string {
	sum := sha256.Sum256(c.Leaf.Raw)
	return filepath.Join(dir, hex.EncodeToString(sum[:])+keptEnding)
}

const keptEnding = ".ocsp"

// KeepStaples lets responses be kept in a folder, which need not be there, and staples those that it has. It is called
// once, before the certificates are used.
func (c *Certificates) KeepStaples(dir string) {
	c.staples = dir
	c.current.Load().readStaples(dir)
}

// readStaples attaches what is kept and still good.
func (s *certificateSet) readStaples(dir string) {
	for _, cert := range s.list {
		if dir == "" || !cert.named() {
			continue
		}
		der, err := os.ReadFile(cert.kept(dir))
		if err != nil {
			continue
		}
		if r, err := verifyResponse(der, cert.Leaf, cert.issuer, time.Now()); err == nil {
			cert.attach(r)
		}
	}
}

// Staple keeps the responses to the certificates fresh until ctx ends: it asks the responder of each through client when
// half of a response's life is over.
func (c *Certificates) Staple(ctx context.Context, client *http.Client, log *slog.Logger) {
	s := &stapler{certificates: c, client: client, log: log}
	for {
		next := s.round(ctx)
		timer := time.NewTimer(time.Until(next))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-c.changed:
			timer.Stop()
		case <-timer.C:
		}
	}
}

// stapler is what Staple knows between its rounds.
type stapler struct {
	certificates *Certificates
	client       *http.Client
	log          *slog.Logger

	set      *certificateSet
	due      map[*certificate]time.Time
	failures map[*certificate]int
}

// round asks for what is due, and returns when the next is.
func (s *stapler) round(ctx context.Context) (next time.Time) {
	if set := s.certificates.current.Load(); set != s.set {
		s.begin(set)
	}
	next = time.Now().Add(longestRetry) // a sleeping machine may have slept over a timer
	for _, cert := range s.set.list {
		if !cert.named() {
			continue
		}
		if !time.Now().Before(s.due[cert]) && ctx.Err() == nil {
			s.renew(ctx, cert)
		}
		if due := s.due[cert]; due.Before(next) {
			next = due
		}
	}
	return next
}

// begin takes over other certificates, and removes what is kept for those before.
func (s *stapler) begin(set *certificateSet) {
	s.set, s.due, s.failures = set, map[*certificate]time.Time{}, map[*certificate]int{}
	wanted := map[string]bool{}
	for _, cert := range set.list {
		wanted[cert.kept("")] = true
		if have := cert.staple.Load(); have != nil {
			s.due[cert] = have.halfLife()
		}
	}
	entries, _ := os.ReadDir(s.certificates.staples) // none yet
	for _, e := range entries {
		if strings.HasSuffix(e.Name(), keptEnding) && !wanted[e.Name()] {
			_ = os.Remove(filepath.Join(s.certificates.staples, e.Name())) // tried again at the next change
		}
	}
}

// renew asks for a new response. The one before serves on until it ends, unless the certificate is revoked.
func (s *stapler) renew(ctx context.Context, cert *certificate) {
	r, err := askResponders(ctx, s.client, cert.Leaf, cert.issuer)
	if ctx.Err() != nil {
		return
	}
	now := time.Now()
	if err != nil {
		s.failures[cert]++
		s.due[cert] = now.Add(min(shortestRetry<<min(s.failures[cert]-1, 10), longestRetry))
		s.tell(cert, err)
		return
	}
	s.failures[cert] = 0
	s.due[cert] = r.halfLife()
	if least := now.Add(shortestRetry); s.due[cert].Before(least) { // the responder renews its responses late
		s.due[cert] = least
	}
	cert.attach(r)
	s.log.Info("ocsp response stapled", "certificate", cert.file, "until", r.ends)
	if err := s.keep(cert, r.der); err != nil {
		s.log.Warn("keeping an ocsp response failed; it does no harm until the next start", "err", err)
	}
}

// tell reports a failure: the more loudly the more it means for clients.
func (s *stapler) tell(cert *certificate, err error) {
	if errors.Is(err, errRevoked) {
		cert.staple.Store(nil)
		if s.certificates.staples != "" {
			_ = os.Remove(cert.kept(s.certificates.staples)) // mostly not there
		}
	}
	have := cert.staple.Load()
	switch {
	case errors.Is(err, errRevoked), have == nil && mustStaple(cert.Leaf):
		s.log.Error("a certificate is served without the ocsp response that clients want", "certificate", cert.file, "err", err)
	case have == nil:
		s.log.Warn("no ocsp response to staple; it is tried again", "certificate", cert.file, "err", err)
	default:
		s.log.Warn("renewing an ocsp response failed; it is tried again", "certificate", cert.file, "until", have.ends, "err", err)
	}
}

// keep writes the file of a response as a whole or not at all.
func (s *stapler) keep(cert *certificate, der []byte) error {
	dir := s.certificates.staples
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	file := cert.kept(dir)
	if err := os.WriteFile(file+".new", der, 0o600); err != nil {
		return err
	}
	return os.Rename(file+".new", file)
}
