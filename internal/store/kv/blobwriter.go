package kv

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

const (
	maxChunk    = 64 << 10 // the greatest body of a blob that is one record, and of a part of another
	firstBuffer = 8 << 10
	bufferTotal = 64 << 20 // of all writers together
	indexEntry  = 16
)

// budget is memory that writers share.
type budget struct {
	total int64
	left  atomic.Int64
}

// set makes n octets of it, before anybody takes some.
func (b *budget) set(n int64) {
	b.total = n
	b.left.Store(n)
}

// take returns false when n octets are more than there is left.
func (b *budget) take(n int) bool {
	if b.left.Add(-int64(n)) >= 0 {
		return true
	}
	b.left.Add(int64(n))
	return false
}

func (b *budget) give(n int) { b.left.Add(int64(n)) }

func (b *budget) used() int64 { return b.total - b.left.Load() }

// blobWriter implements BlobWriter. A blob that fits into the buffer becomes one record. Of a
// greater one the buffer is written whenever it is full, while a second one is filled; Finish adds
// an index of the parts. A writer for which the budget has nothing left writes what it is given.
type blobWriter struct {
	engine *Engine
	buffer []byte // its capacity is taken from the budget
	spare  []byte // as buffer
	flying *record
	parts  []part
	cargo  cargo // what is written of it
	size   int64
	err    error
	ended  bool
	id     BlobID
}

// CreateBlob implements DB.
func (e *Engine) CreateBlob(ctx context.Context) (BlobWriter, error) {
	if err := e.enter(ctx); err != nil {
		return nil, err
	}
	defer e.leave()
	return &blobWriter{engine: e}, nil
}

var errEnded = errors.New("kv: blob has ended")

// Write implements BlobWriter.
func (w *blobWriter) Write(p []byte) (int, error) {
	if w.ended {
		return 0, errEnded
	}
	written := 0
	for len(p) > 0 && w.err == nil {
		n := w.fill(p)
		if n == 0 {
			n = w.writeThrough(p)
		}
		written += n
		p = p[n:]
	}
	w.size += int64(written)
	return written, w.err
}

// fill copies from p into the buffer as much as there is room for, or room to be had.
func (w *blobWriter) fill(p []byte) int {
	if len(w.buffer) == cap(w.buffer) && !w.grow(len(p)) {
		if cap(w.buffer) == 0 {
			return 0
		}
		w.flush()
		if w.err != nil {
			return 0
		}
	}
	n := min(len(p), cap(w.buffer)-len(w.buffer))
	w.buffer = append(w.buffer, p[:n]...)
	return n
}

// grow makes room for at least some of n octets. It returns false when the buffer is as great as it may be.
func (w *blobWriter) grow(n int) bool {
	old := cap(w.buffer)
	size := max(firstBuffer, 4*old)
	for size < old+n {
		size *= 4
	}
	size = min(size, maxChunk)
	if size <= old || !w.engine.buffers.take(size-old) {
		return false
	}
	buffer := make([]byte, len(w.buffer), size)
	copy(buffer, w.buffer)
	w.buffer = buffer
	return true
}

// flush sends the buffer off as a part of the blob and goes on with the other one, if it can be
// had; if not, when the part is written.
func (w *blobWriter) flush() {
	w.land()
	if w.err != nil || len(w.buffer) == 0 {
		return
	}
	w.send(w.buffer)
	if w.spare == nil && w.engine.buffers.take(cap(w.buffer)) {
		w.spare = make([]byte, 0, cap(w.buffer))
	}
	if w.spare == nil {
		w.land()
		w.buffer = w.buffer[:0]
		return
	}
	w.buffer, w.spare = w.spare[:0], w.buffer
}

// writeThrough writes some of p as a part of its own and waits for that.
func (w *blobWriter) writeThrough(p []byte) int {
	if w.err != nil {
		return 0
	}
	n := min(len(p), maxChunk)
	w.land()
	if w.err == nil {
		w.send(p[:n])
		w.land()
	}
	return n
}

func (w *blobWriter) send(body []byte) {
	w.flying = &record{kind: kindChunk, body: body, sum: checksum(body), done: make(chan error, 1)}
	w.engine.appender.append(w.flying)
}

// land waits for the part that is on its way.
func (w *blobWriter) land() {
	r := w.flying
	if r == nil {
		return
	}
	w.flying = nil
	if err := w.engine.written(r); err != nil {
		w.fail(err)
		return
	}
	w.cargo.add(r.at.segment)
	w.parts = append(w.parts, part{at: r.at, length: uint32(len(r.body)), sum: r.sum, home: r.home})
}

// written waits for the outcome of r, also when the store has failed, unless the disk answers no more.
func (e *Engine) written(r *record) error {
	select {
	case err := <-r.done:
		return err
	case <-e.disk.broken:
	}
	select {
	case err := <-r.done:
		return err
	case <-time.After(e.leaveTime):
		return e.failed()
	}
}

func (w *blobWriter) fail(err error) {
	if w.err == nil {
		w.err = fmt.Errorf("writing a blob: %w", err)
	}
}

// Finish implements BlobWriter.
func (w *blobWriter) Finish() (BlobID, error) {
	if w.ended {
		return w.id, w.err
	}
	defer w.end()
	if w.size > maxBlob {
		w.fail(errors.New("too big"))
	}
	last := w.last()
	if w.err != nil {
		return BlobID{}, w.err
	}
	w.engine.appender.append(last)
	if err := w.engine.written(last); err != nil {
		w.fail(err)
		return BlobID{}, w.err
	}
	w.id = newBlobID(last.at, w.size, header{bodySum: last.sum, kind: last.kind})
	w.cargo.add(last.at.segment)
	w.engine.flights.begin(w.id, w.cargo)
	w.cargo = nil
	return w.id, nil
}

// last is the record that names the whole blob.
func (w *blobWriter) last() *record {
	r := &record{kind: kindBlob, body: w.buffer, sync: true, done: make(chan error, 1)}
	if len(w.parts) > 0 || w.flying != nil {
		w.flush()
		w.land()
		r.kind, r.body, r.parts = kindIndex, marshalIndex(w.parts), w.parts
	}
	r.sum = checksum(r.body)
	return r
}

// marshalIndex writes for each part its segment, offset, length and checksum.
func marshalIndex(parts []part) []byte {
	b := make([]byte, 0, len(parts)*indexEntry)
	for _, p := range parts {
		b = binary.LittleEndian.AppendUint32(b, p.at.segment)
		b = binary.LittleEndian.AppendUint32(b, p.at.offset)
		b = binary.LittleEndian.AppendUint32(b, p.length)
		b = binary.LittleEndian.AppendUint32(b, p.sum)
	}
	return b
}

// Discard implements BlobWriter.
func (w *blobWriter) Discard() {
	if w.ended {
		return
	}
	w.land()
	w.fail(errEnded)
	w.end()
}

func (w *blobWriter) end() {
	w.ended = true
	w.engine.buffers.give(cap(w.buffer) + cap(w.spare))
	w.cargo.land(w.engine.catalog)
	w.buffer, w.spare, w.parts, w.cargo = nil, nil, nil, nil
}
