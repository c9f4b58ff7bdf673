package kv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"sort"
	"sync"
	"sync/atomic"
)

// OpenBlob implements DB.
func (e *Engine) OpenBlob(ctx context.Context, id BlobID) (Blob, error) {
	if err := e.enter(ctx); err != nil {
		return nil, err
	}
	defer e.leave()
	var blob Blob
	err := e.locate(id, func(p place) (err error) {
		if id.isIndex() {
			blob, err = e.openParts(id, p)
		} else {
			blob, err = e.openSmall(id, p)
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("blob %s: %w", id, err)
	}
	return blob, nil
}

func (e *Engine) openSmall(id BlobID, p place) (*smallBlob, error) {
	if id.size() > maxChunk {
		return nil, ErrNotFound
	}
	b := make([]byte, headerSize+id.size())
	if err := e.readAt(p.at, b); err != nil {
		return nil, err
	}
	if _, err := e.checkHeader(b, id, p); err != nil {
		return nil, err
	}
	body := b[headerSize:]
	if checksum(body) != binary.LittleEndian.Uint32(b[4:]) {
		return nil, ErrCorrupt
	}
	return &smallBlob{body: body}, nil
}

// checkHeader tells whether b begins with the header of the record of id at p.
func (e *Engine) checkHeader(b []byte, id BlobID, p place) (header, error) {
	h, ok := parseHeader(b, e.salt, p.at)
	switch {
	case !ok:
		return h, ErrCorrupt
	case !p.check(h, id):
		return h, ErrNotFound
	}
	return h, nil
}

// readAt fills b from a segment.
func (e *Engine) readAt(at position, b []byte) error {
	file, err := e.segments.open(at.segment)
	if err != nil {
		return err
	}
	defer file.release()
	if _, err := file.ReadAt(b, int64(at.offset)); errors.Is(err, io.EOF) {
		return fmt.Errorf("%s: %w", at, ErrCorrupt)
	} else if err != nil {
		return err
	}
	e.stats.reads.Add(1)
	return nil
}

// smallBlob is a blob in memory, verified when it was opened.
type smallBlob struct{ body []byte }

func (b *smallBlob) Size() int64 { return int64(len(b.body)) }

func (b *smallBlob) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errNegative
	}
	if off >= int64(len(b.body)) {
		return 0, io.EOF
	}
	n := copy(p, b.body[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

func (b *smallBlob) WriteTo(w io.Writer) (int64, error) {
	n, err := w.Write(b.body)
	return int64(n), err
}

func (b *smallBlob) Close() error { return nil }

var errNegative = errors.New("kv: negative offset")

// largeBlob is a blob in parts. Each is verified when it is read; the last one read is kept, for
// those who read little by little.
type largeBlob struct {
	engine *Engine
	id     BlobID
	parts  []part
	starts []int64 // of each part in the blob
	size   int64
	recent atomic.Pointer[chunk]
	close  func() // lets the collector have the segments
}

type chunk struct {
	index int
	body  []byte
}

// openParts keeps the segments of a large blob from being removed until it is closed.
func (e *Engine) openParts(id BlobID, p place) (*largeBlob, error) {
	parts, err := e.readIndex(id, p)
	if err != nil {
		return nil, err
	}
	segments := homes(p.at, parts)
	if !e.catalog.read(segments) {
		return nil, errGone
	}
	b := &largeBlob{engine: e, id: id, parts: parts, starts: make([]int64, len(parts)), size: id.size()}
	b.close = sync.OnceFunc(func() { e.catalog.unread(segments) })
	var size int64
	for i, p := range parts {
		b.starts[i] = size
		size += int64(p.length)
	}
	return b, nil
}

// readIndex returns the parts of the large blob id, whose index is at p.
func (e *Engine) readIndex(id BlobID, p place) ([]part, error) {
	var head [headerSize]byte
	if err := e.readAt(p.at, head[:]); err != nil {
		return nil, err
	}
	h, err := e.checkHeader(head[:], id, p)
	if err != nil {
		return nil, err
	}
	body := make([]byte, h.length)
	at := p.at
	at.offset += headerSize
	if err := e.readAt(at, body); err != nil {
		return nil, err
	}
	if checksum(body) != h.bodySum || len(body)%indexEntry != 0 {
		return nil, ErrCorrupt
	}
	return parseIndex(body, id.size())
}

// parseIndex returns the parts of a blob of the given size.
func parseIndex(body []byte, want int64) ([]part, error) {
	parts := make([]part, len(body)/indexEntry)
	var size int64
	for i := range parts {
		entry := body[i*indexEntry:]
		parts[i] = part{
			at:     position{binary.LittleEndian.Uint32(entry), binary.LittleEndian.Uint32(entry[4:])},
			length: binary.LittleEndian.Uint32(entry[8:]),
			sum:    binary.LittleEndian.Uint32(entry[12:]),
		}
		if parts[i].length > maxChunk {
			return nil, ErrCorrupt
		}
		size += int64(parts[i].length)
	}
	if size != want {
		return nil, ErrNotFound
	}
	return parts, nil
}

func (b *largeBlob) Size() int64 { return b.size }

func (b *largeBlob) Close() error {
	b.close()
	return nil
}

func (b *largeBlob) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 {
		return 0, errNegative
	}
	done := 0
	for i := b.partAt(off); done < len(p) && i < len(b.parts); i++ {
		body, err := b.part(i)
		if err != nil {
			return done, err
		}
		done += copy(p[done:], body[off+int64(done)-b.starts[i]:])
	}
	if done < len(p) {
		return done, io.EOF
	}
	return done, nil
}

// partAt returns the index of the part with the octet at off, or the number of parts.
func (b *largeBlob) partAt(off int64) int {
	if off >= b.size {
		return len(b.parts)
	}
	return sort.Search(len(b.parts), func(i int) bool { return b.starts[i] > off }) - 1
}

// part returns the body of part i, which must not be changed.
func (b *largeBlob) part(i int) ([]byte, error) {
	if c := b.recent.Load(); c != nil && c.index == i {
		return c.body, nil
	}
	c := &chunk{i, make([]byte, b.parts[i].length)}
	if err := b.readPart(i, c.body); err != nil {
		return nil, err
	}
	b.recent.Store(c)
	return c.body, nil
}

func (b *largeBlob) readPart(i int, body []byte) error {
	if err := b.engine.enter(context.Background()); err != nil {
		return err
	}
	defer b.engine.leave()
	if err := b.engine.readPart(b.parts[i], body); err != nil {
		return fmt.Errorf("blob %s: part %d: %w", b.id, i, err)
	}
	return nil
}

// readPart reads p into body, which is as long as p.
func (e *Engine) readPart(p part, body []byte) error {
	at := p.at
	at.offset += headerSize
	if err := e.readAt(at, body); err != nil {
		return err
	}
	if checksum(body) != p.sum {
		return ErrCorrupt
	}
	return nil
}

func (b *largeBlob) WriteTo(w io.Writer) (int64, error) {
	var written int64
	buffer := make([]byte, min(b.size, maxChunk))
	for i, p := range b.parts {
		body := buffer[:p.length]
		if err := b.readPart(i, body); err != nil {
			return written, err
		}
		n, err := w.Write(body)
		written += int64(n)
		if err != nil {
			return written, err
		}
	}
	return written, nil
}
