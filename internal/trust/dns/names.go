package dns

import (
	"context"
	"net/netip"
	"slices"
	"sync"
	"time"

	"candor/internal/mail"
)

// Names finds the names of peers while they say what they want. Its methods may be called concurrently.
type Names struct {
	resolver Resolver
	ctx      context.Context // of the lookups
	stop     context.CancelFunc
	places   chan struct{}
	work     sync.WaitGroup
}

const (
	// maxNames is how many lookups of Names are made at a time; a peer beyond them has no name.
	maxNames = 64
	// nameTimeout bounds a lookup.
	nameTimeout = 10 * time.Second
	// maxPointers is how many of an address's names are tried (as in RFC 7208, section 4.6.4).
	maxPointers = 10
)

// NewNames makes a Names that asks r.
func NewNames(r Resolver) *Names {
	n := &Names{resolver: r, places: make(chan struct{}, maxNames)}
	n.ctx, n.stop = context.WithCancel(context.Background())
	return n
}

// Begin looks an address up in the background. What it returns says which name has been found by now: one that leads
// back to the address. It is empty as long as there is none.
func (n *Names) Begin(a netip.Addr) (found func() mail.Domain) {
	select {
	case n.places <- struct{}{}:
	default:
		return func() mail.Domain { return "" }
	}
	var mu sync.Mutex
	var name mail.Domain
	n.work.Go(func() {
		defer func() { <-n.places }()
		ctx, cancel := context.WithTimeout(n.ctx, nameTimeout)
		defer cancel()
		d := confirmed(ctx, n.resolver, a)
		mu.Lock()
		defer mu.Unlock()
		name = d
	})
	return func() mail.Domain {
		mu.Lock()
		defer mu.Unlock()
		return name
	}
}

// Close breaks off what is under way. Begin is not to be called any more.
func (n *Names) Close() error {
	n.stop()
	n.work.Wait()
	return nil
}

// confirmed is the first name of an address that leads back to it, or empty.
func confirmed(ctx context.Context, r Resolver, a netip.Addr) mail.Domain {
	names, err := r.PTR(ctx, a)
	if err != nil {
		return ""
	}
	for _, d := range names.Records[:min(len(names.Records), maxPointers)] {
		if back, err := r.Addresses(ctx, d); err == nil && slices.Contains(back.Records, a.Unmap().WithZone("")) {
			return d
		}
	}
	return ""
}
