package kv

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// Segments checks the head of every segment and, unless it is to be quick, the header of every record. What it
// finds harms nobody by itself: Links tells which blobs are damaged.
func (v *Verification) Segments() error {
	sizes, _, err := v.engine.segmentSizes()
	if err != nil {
		return err
	}
	numbers := make([]uint32, 0, len(sizes))
	for n := range sizes {
		numbers = append(numbers, n)
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		if err := v.ctx.Err(); err != nil {
			return err
		}
		v.sum.Segments++
		if err := v.segment(n); err != nil && !errors.Is(err, ErrNotFound) {
			return fmt.Errorf("reading %s: %w", segmentName(n), err)
		}
	}
	return nil
}

func (v *Verification) segment(number uint32) error {
	h, ok, err := v.engine.headOf(number)
	if err != nil {
		return err
	}
	if !ok {
		v.Report(Finding{
			ID: "segment-head", Severity: SeverityWarning, Place: segmentName(number),
			Seen: "a head that is not what was written", Wanted: "the head of a segment of this store",
			Fix: "start candor again, which writes it anew",
		})
		return nil
	}
	if h.seal == nil { // it is being written, or was given up after a failure and is read at the next start
		return nil
	}
	damage, err := v.damage(number, *h.seal)
	if err != nil || damage == 0 {
		return err
	}
	v.Report(Finding{
		ID: "segment-damaged", Severity: SeverityNote, Place: segmentName(number),
		Seen: fmt.Sprintf("%d octets that are not what was written", damage), Wanted: "none",
		Fix: "look after the disk; other findings name the messages that are harmed, if any",
	})
	return nil
}

// damage counts the octets of a segment that was closed which belong to no record. What was damaged at the last
// start is known without looking.
func (v *Verification) damage(number uint32, s seal) (int64, error) {
	if v.Quick || s.damaged > 0 {
		return int64(s.damaged), nil
	}
	file, err := v.engine.segments.open(number)
	if err != nil {
		return 0, err
	}
	defer file.release()
	w := &window{file: file, size: int64(s.end)}
	var damage int64
	b := make([]byte, headerSize)
	for at := int64(headSize); at < w.size; {
		if n, err := file.ReadAt(b, at); err != nil && !(errors.Is(err, io.EOF) && n > 0) {
			if errors.Is(err, io.EOF) {
				return damage + w.size - at, nil // the file has become shorter
			}
			return damage, err
		}
		h, ok := parseHeader(b, v.engine.salt, position{number, uint32(at)})
		if ok && at+h.size() <= w.size {
			at += h.size()
			continue
		}
		next, err := w.resume(at, header{}, number, v.engine.salt)
		if err != nil {
			return damage, err
		}
		damage += next - at
		at = next
	}
	return damage, nil
}

// segmentSizes returns the size of each segment, and of all together.
func (e *Engine) segmentSizes() (sizes map[uint32]int64, total int64, err error) {
	numbers, err := listSegments(e.fs, e.blobDir)
	if err != nil {
		return nil, 0, err
	}
	sizes = make(map[uint32]int64, len(numbers))
	for _, n := range numbers {
		info, err := e.fs.Stat(e.fs.PathJoin(e.blobDir, segmentName(n)))
		if err != nil {
			continue // removed meanwhile
		}
		sizes[n] = info.Size()
		total += info.Size()
	}
	return sizes, total, nil
}

// headOf reads the head of a segment. ok is false when it is damaged. Errors: ErrNotFound.
func (e *Engine) headOf(number uint32) (h head, ok bool, err error) {
	file, err := e.segments.open(number)
	if err != nil {
		return h, false, err
	}
	defer file.release()
	b := make([]byte, headSize)
	if _, err := file.ReadAt(b, 0); err != nil && !errors.Is(err, io.EOF) {
		return h, false, err
	}
	h, ok, err = parseHead(b, number)
	return h, ok && h.salt == e.salt, err
}
