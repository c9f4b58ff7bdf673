package kv

import (
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"os"
	"slices"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/vfs"
)

// recovery is what a walk through a segment found.
type recovery struct {
	end     int64 // of the last whole record
	records int
	durable int64  // how far the segment was durable, by its own word
	damage  []span // what was durable and is no longer whole
}

// span is octets of a file.
type span struct{ from, to int64 }

// octets is the size of the damage.
func (r *recovery) octets() (n int64) {
	for _, s := range r.damage {
		n += s.to - s.from
	}
	return n
}

// window reads a file through a buffer that moves.
type window struct {
	file  io.ReaderAt
	size  int64
	start int64
	buf   []byte
}

const windowSize = 1 << 20

// at returns n octets from offset on, or fewer at the end of the file, valid until the next call.
func (w *window) at(offset int64, n int) ([]byte, error) {
	n = int(min(int64(n), max(w.size-offset, 0)))
	if offset < w.start || offset+int64(n) > w.start+int64(len(w.buf)) {
		if err := w.move(offset, n); err != nil {
			return nil, err
		}
	}
	from := offset - w.start
	return w.buf[from : from+int64(n)], nil
}

func (w *window) move(offset int64, n int) error {
	want := int(min(int64(max(n, windowSize)), w.size-offset))
	if want <= 0 {
		w.start, w.buf = offset, w.buf[:0]
		return nil
	}
	w.buf = slices.Grow(w.buf[:0], want)[:want]
	w.start = offset
	_, err := w.file.ReadAt(w.buf, offset)
	if err != nil && !errors.Is(err, io.EOF) {
		w.buf = w.buf[:0]
		return err
	}
	return nil
}

// walk reads a segment that was not closed in order. What was written last may be torn: nobody was
// told that it was durable, and it is passed over. A place that a later record says was durable is
// damage. A record behind a place that cannot be read is found by its checksum, which depends on
// where it stands.
func walk(file io.ReaderAt, size int64, number uint32, salt uint64) (recovery, error) {
	w := &window{file: file, size: size}
	r := recovery{end: headSize, durable: headSize}
	var bad []span
	for at := int64(headSize); at+headerSize <= size; {
		h, whole, err := w.record(at, number, salt)
		if err != nil {
			return r, err
		}
		if !whole {
			next, err := w.resume(at, h, number, salt)
			if err != nil {
				return r, err
			}
			bad = append(bad, span{at, next})
			at = next
			continue
		}
		r.records++
		r.durable = max(r.durable, int64(h.durable))
		at += h.size()
		r.end = at
	}
	r.damage = slices.DeleteFunc(bad, func(s span) bool { return s.from >= r.durable })
	return r, nil
}

// record reads the record at an offset. It returns its header, if that is good, and whether the
// body is good as well.
func (w *window) record(at int64, number uint32, salt uint64) (h header, whole bool, err error) {
	b, err := w.at(at, headerSize)
	if err != nil {
		return h, false, err
	}
	h, ok := parseHeader(b, salt, position{number, uint32(at)})
	if !ok || at+h.size() > w.size {
		return header{}, false, nil
	}
	sum, err := w.sum(at+headerSize, int64(h.length))
	return h, sum == h.bodySum, err
}

// sum is the checksum of n octets.
func (w *window) sum(at, n int64) (sum uint32, err error) {
	for n > 0 {
		b, err := w.at(at, int(min(n, windowSize)))
		if err != nil {
			return 0, err
		}
		if len(b) == 0 {
			return 0, nil
		}
		sum = crc32.Update(sum, castagnoli, b)
		at, n = at+int64(len(b)), n-int64(len(b))
	}
	return sum, nil
}

// resume returns where to go on after a bad record: behind it if its header h is good, and
// otherwise at the next place that holds a header, or the end of the file.
func (w *window) resume(at int64, h header, number uint32, salt uint64) (int64, error) {
	if h.kind != 0 {
		return at + h.size(), nil
	}
	for at += alignment; at+headerSize <= w.size; at += alignment {
		b, err := w.at(at, headerSize)
		if err != nil {
			return at, err
		}
		if h, ok := parseHeader(b, salt, position{number, uint32(at)}); ok && at+h.size() <= w.size {
			return at, nil
		}
	}
	return w.size, nil
}

// recoverSegments walks through the segments that were not closed in order, seals them, and
// returns the number for the next one. A segment that was there is never written to again.
func (e *Engine) recoverSegments(acceptLoss bool) (next uint32, err error) {
	numbers, err := listSegments(e.fs, e.blobDir)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, err
	}
	newest, err := e.newestLinked()
	if err != nil {
		return 0, err
	}
	if !acceptLoss {
		if err := e.checkNewest(newest, numbers); err != nil {
			return 0, err
		}
	}
	for _, number := range numbers {
		if err := e.recoverSegment(number); err != nil {
			return 0, fmt.Errorf("reading %s: %w", segmentName(number), err)
		}
		newest = max(newest, number)
	}
	return newest + 1, nil
}

// newestLinked returns the number of the newest segment that a link names; 0 when there is no link.
func (e *Engine) newestLinked() (uint32, error) {
	c, err := newCursor(e.db, linkPrefix, PrefixEnd(linkPrefix), falling)
	if err != nil {
		return 0, err
	}
	defer c.close()
	for c.next() {
		if id, _, ok := parseLinkKey(c.it.Key()); ok {
			return id.position().segment, nil
		}
	}
	return 0, c.err()
}

// checkNewest refuses segments of which the newest is older than what is linked. The newest one is never removed, so that
// they are not the ones that this store wrote last.
func (e *Engine) checkNewest(linked uint32, numbers []uint32) error {
	there, newest := "none is there", uint32(0)
	if len(numbers) > 0 {
		newest = slices.Max(numbers)
		there = "the newest there is " + segmentName(newest)
	}
	if linked <= newest {
		return nil
	}
	return fmt.Errorf("%w from %s: there are messages in %s, but %s; mount the right folder there, or restore a backup; "+
		"only if the messages are lost for good, let 'candor repair --accept-loss' remove them", ErrMissing, e.blobDir, segmentName(linked), there)
}

func (e *Engine) recoverSegment(number uint32) error {
	file, err := e.fs.OpenReadWrite(e.fs.PathJoin(e.blobDir, segmentName(number)), vfs.WriteCategoryUnspecified)
	if err != nil {
		return err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	b := make([]byte, headSize)
	if _, err := file.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	h, ok, err := parseHead(b, number)
	if err != nil {
		return err
	}
	if ok && h.salt != e.salt {
		return fmt.Errorf("it belongs to another store: mount the right folder at %s", e.blobDir)
	}
	// A copy can have the seal that the segment got after the copy's end was chosen.
	if ok && h.seal != nil && int64(h.seal.end) <= info.Size() {
		e.stats.damaged.Add(uint64(h.seal.damaged))
		e.catalog.add(number, int64(h.seal.end))
		return nil
	}
	size, err := e.trusted(number, info.Size())
	if err != nil {
		return err
	}
	found, err := walk(file, size, number, e.salt)
	if err != nil {
		return err
	}
	e.catalog.add(number, found.end)
	e.sealFound(file, number, found)
	return nil
}

// trusted is how far a segment may be read: when a sync of it has failed, no farther than the one before.
func (e *Engine) trusted(number uint32, size int64) (int64, error) {
	value, closer, err := e.db.Get(abandonedKey(number))
	if errors.Is(err, pebble.ErrNotFound) {
		return size, nil
	}
	if err != nil {
		return 0, readError(err)
	}
	defer closer.Close()
	end, err := parseOffset(value)
	return min(size, end), err
}

// sealFound notes the outcome, so that it need not be found again; when that fails, it is.
func (e *Engine) sealFound(file vfs.File, number uint32, found recovery) {
	if len(found.damage) > 0 {
		e.log.Error("a segment of the store is damaged: messages in these places cannot be read; restore them from a backup",
			"segment", segmentName(number), "octets", found.octets(), "places", fmt.Sprint(found.damage))
		e.stats.damaged.Add(uint64(found.octets()))
	}
	sealed := head{number, e.salt, &seal{end: uint32(found.end), damaged: uint32(found.octets())}}
	_, err := file.WriteAt(sealed.marshal(), 0)
	if err == nil {
		err = file.Sync()
	}
	if err != nil {
		e.log.Warn("sealing a segment failed", "segment", segmentName(number), "err", err)
	}
}
