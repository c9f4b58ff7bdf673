package dns

import (
	"net/netip"
	"os"
	"strings"

	"candor/internal/mail"
)

// hosts is the content of a hosts(5) file.
type hosts struct {
	addresses map[mail.Domain][]netip.Addr
	names     map[netip.Addr]mail.Domain
}

// readHosts reads a hosts file, leaving out what it cannot understand; none is as good as an empty one.
func readHosts(path string) hosts {
	text, err := os.ReadFile(path)
	if err != nil {
		return hosts{}
	}
	h := hosts{map[mail.Domain][]netip.Addr{}, map[netip.Addr]mail.Domain{}}
	for line := range strings.Lines(string(text)) {
		line, _, _ = strings.Cut(line, "#")
		fields := strings.Fields(line)
		if len(fields) < 2 {
			continue
		}
		addr, err := netip.ParseAddr(fields[0])
		if err != nil {
			continue
		}
		for _, f := range fields[1:] {
			h.add(addr, f)
		}
	}
	return h
}

func (h hosts) add(addr netip.Addr, name string) {
	d, err := mail.ParseDomain(name)
	if err != nil {
		return
	}
	h.addresses[d] = append(h.addresses[d], addr)
	if _, known := h.names[addr]; !known {
		h.names[addr] = d
	}
}
