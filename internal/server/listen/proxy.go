package listen

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/pires/go-proxyproto"
)

// Proxies are what the connections of a listener come through: each begins with a header of the PROXY protocol, version 2,
// that tells the client's address.
type Proxies struct {
	From []netip.Prefix // whoever else connects is not served
	// TrustTLS lets a proxy end TLS: what its header tells of the client's TLS is believed.
	TrustTLS bool
}

// admits reports whether a peer at this address may connect.
func (p *Proxies) admits(a netip.Addr) bool {
	return p == nil || slices.ContainsFunc(p.From, func(n netip.Prefix) bool { return n.Contains(a) })
}

// proxyHead is the part of a header that all have, with the length of the rest.
const proxyHead = 16

// proxied reads the header, takes the client's address from it, and then admits the connection. Until then the
// connection has a place among the half-finished handshakes.
func (c *Conn) proxied(ctx context.Context) error {
	proxy := c.remote
	header, err := c.proxyHeader(ctx)
	if err == nil {
		err = c.comesFrom(header)
	}
	if err != nil {
		c.logTLS(slog.LevelInfo, "proxy header refused", slog.String("err", printableText(err.Error())))
		return err
	}
	c.proxy = proxy.Addr()
	if !c.server.admission.admit(c) {
		c.refuse()
		return ErrClosed
	}
	return nil
}

func (c *Conn) proxyHeader(ctx context.Context) (*proxyproto.Header, error) {
	c.server.admission.beginHandshake(c)
	defer c.server.admission.endHandshake(c)
	if !c.beginWait(ctx, time.Now().Add(c.door.limits.FirstByte)) {
		return nil, context.Cause(ctx)
	}
	defer c.endWait()
	header, err := readProxyHeader(c.wire)
	return header, c.translate(err)
}

// readProxyHeader reads a header and nothing behind it.
func readProxyHeader(r io.Reader) (*proxyproto.Header, error) {
	head := make([]byte, proxyHead)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, err
	}
	if !bytes.HasPrefix(head, proxyproto.SIGV2) {
		return nil, errors.New("it does not begin with a header of the PROXY protocol, version 2")
	}
	length := binary.BigEndian.Uint16(head[proxyHead-2:])
	if length > proxyproto.MaxV2HeaderSize {
		return nil, fmt.Errorf("a header of %d octets", length)
	}
	all := append(head, make([]byte, length)...)
	if _, err := io.ReadFull(r, all[proxyHead:]); err != nil {
		return nil, err
	}
	return proxyproto.Read(bufio.NewReader(bytes.NewReader(all)))
}

// comesFrom takes the client's address from the header, and what it tells of TLS if that is trusted. A proxy that looks
// whether we are there speaks for itself.
func (c *Conn) comesFrom(h *proxyproto.Header) error {
	if h.Command.IsLocal() {
		return nil
	}
	source, destination, ok := h.TCPAddrs()
	if !ok {
		return errors.New("it tells no TCP address")
	}
	c.local = addrPort(destination)
	c.setRemote(addrPort(source))
	if c.listener.Proxies.TrustTLS {
		return c.believe(h)
	}
	return nil
}

// ProxyListener takes the client's address from the header of each connection, for a server of HTTP; the connections
// of others end.
func ProxyListener(l net.Listener, p *Proxies) net.Listener {
	if p == nil {
		return l
	}
	return &proxyproto.Listener{
		Listener: l, ReadHeaderTimeout: defaults.FirstByte,
		ConnPolicy: func(o proxyproto.ConnPolicyOptions) (proxyproto.Policy, error) {
			if !p.admits(addrPort(o.Upstream).Addr()) {
				return proxyproto.REJECT, proxyproto.ErrInvalidUpstream
			}
			return proxyproto.REQUIRE, nil
		},
		ValidateHeader: func(h *proxyproto.Header) error {
			if h.Version != 2 {
				return proxyproto.ErrUnknownProxyProtocolVersion
			}
			return nil
		},
	}
}
