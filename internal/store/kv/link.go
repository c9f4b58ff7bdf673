package kv

import (
	"bytes"
	"context"
)

// The keys of kv itself. A link is one row for each blob and owner, without a counter, so that
// links to one blob never conflict. The blob's segment leads, as the collector asks by segment.
//
//	'k' 'f'             format
//	'k' 'l' blob owner  link
var (
	formatKey  = []byte("kf")
	linkPrefix = []byte("kl")
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
