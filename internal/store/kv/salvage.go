package kv

import (
	"context"
	"errors"
	"io"
)

// Salvage writes to w what can be read of a blob, whole or not, damaged octets included. Errors: those of w, and of
// reading, but for damage.
func (e *Engine) Salvage(ctx context.Context, id BlobID, w io.Writer) error {
	if err := e.enter(ctx); err != nil {
		return err
	}
	defer e.leave()
	p := e.placeOf(id)
	if !id.isIndex() {
		return e.salvage(p.at, min(id.size(), maxChunk), w)
	}
	parts, err := e.readIndex(id, p)
	if isDamage(err) {
		return nil // nothing else knows where the parts are
	}
	if err != nil {
		return err
	}
	for _, part := range parts {
		if err := e.salvage(part.at, int64(part.length), w); err != nil {
			return err
		}
	}
	return nil
}

// placeOf is where a blob was last.
func (e *Engine) placeOf(id BlobID) place {
	if p, err := e.movedTo(id); err == nil && !e.catalog.has(id.position().segment) {
		return p
	}
	return place{at: id.position()}
}

// salvage writes what there is of the body of a record.
func (e *Engine) salvage(at position, length int64, w io.Writer) error {
	file, err := e.segments.open(at.segment)
	if isDamage(err) {
		return nil // so there is nothing
	}
	if err != nil {
		return err
	}
	defer file.release()
	b := make([]byte, length)
	n, err := file.ReadAt(b, int64(at.offset)+headerSize)
	if err != nil && !errors.Is(err, io.EOF) && !isDamage(err) {
		return err
	}
	_, err = w.Write(b[:n])
	return err
}
