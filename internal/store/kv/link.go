package kv

import (
	"bytes"
	"context"
)

// The keys of kv itself. A link is one row for each blob and owner, without a counter, so that
// links to one blob never conflict. The blob's segment leads, as the collector asks by segment.
//
//	'k' 'a' segment     how far a segment that was given up may be trusted: an offset
//	'k' 'f'             format
//	'k' 'l' blob owner  link
//	'k' 'm' blob        where the collector has moved the blob
//
// A moved row counts when a segment in which the blob was written is no longer there: the blob's own, or one of a large
// blob's parts. Segments are big-endian, as in a BlobID; an offset is 4 octets, little-endian.
var (
	abandonedPrefix = []byte("ka")
	formatKey       = []byte("kf")
	linkPrefix      = []byte("kl")
	movedPrefix     = []byte("km")
)

func linkKey(id BlobID, owner []byte) []byte {
	key := make([]byte, 0, len(linkPrefix)+len(id)+len(owner))
	key = append(key, linkPrefix...)
	key = append(key, id[:]...)
	return append(key, owner...)
}

// Links implements DB.
func (e *Engine) Links(ctx context.Context, id BlobID) ([][]byte, error) {
	var owners [][]byte
	prefix := linkKey(id, nil)
	err := e.View(ctx, func(r Reader) error {
		for pair, err := range r.Scan(prefix, PrefixEnd(prefix)) {
			if err != nil {
				return err
			}
			owners = append(owners, bytes.Clone(pair.Key[len(prefix):]))
		}
		return nil
	})
	return owners, err
}
