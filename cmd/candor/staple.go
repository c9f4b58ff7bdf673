package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"path/filepath"
	"sync"
	"time"

	"candor/internal/mail"
	"candor/internal/transit/relay"
)

// staples is the folder in which OCSP responses outlive a restart.
func (c *config) staples() string { return filepath.Join(c.Data, "ocsp") }

// staple keeps OCSP responses fresh until the function that it returns is called.
func (r *running) staple() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	client := &http.Client{
		Transport: &http.Transport{DialContext: r.dialResponder, DisableKeepAlives: true, MaxResponseHeaderBytes: 16 << 10},
		CheckRedirect: func(_ *http.Request, before []*http.Request) error {
			if len(before) > 3 {
				return errors.New("too many redirections")
			}
			return nil
		},
	}
	var wg sync.WaitGroup
	wg.Go(func() { r.certificates.Staple(ctx, client, r.log) })
	return func() {
		cancel()
		wg.Wait()
	}
}

// dialResponder connects to what a certificate names, but to no address that mail may not be sent to.
func (r *running) dialResponder(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	addresses, err := r.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	private, err := parsePrefixes(r.config().Outbound.PrivateTargets)
	if err != nil {
		return nil, err
	}
	err = fmt.Errorf("%s has no address", host)
	d := net.Dialer{Timeout: 5 * time.Second}
	for _, a := range addresses {
		if !relay.MayReach(a, private) {
			err = fmt.Errorf("%s is private: list it in private_targets of [outbound], if the certificate authority is yours", a)
			continue
		}
		var conn net.Conn
		if conn, err = d.DialContext(ctx, network, net.JoinHostPort(a.String(), port)); err == nil {
			return conn, nil
		}
	}
	return nil, err
}

func (r *running) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if a, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{a}, nil
	}
	name, err := mail.ParseDomain(host)
	if err != nil {
		return nil, err
	}
	found, err := r.dns.Addresses(ctx, name)
	return found.Records, err
}
