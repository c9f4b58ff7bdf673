package kv

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"
)

// Owner verifies the rows of one prefix that link blobs.
type Owner interface {
	// Prefix is the first octet of the rows' keys.
	Prefix() byte
	// Blob returns the blob that a row names; ok is false when it names none or cannot be read, of which the owner
	// itself tells.
	Blob(key, value []byte) (id BlobID, ok bool)
	// Body reads the row's blob to its end and checks what the row says of it. Errors: those of reading.
	Body(key, value []byte, id BlobID, b Blob) error
	// Lost reports that the row's blob cannot be read.
	Lost(key, value []byte, id BlobID, why error)
	// Orphan reports a link of a row that does not exist; false leaves the report to others.
	Orphan(key []byte, id BlobID) (reported bool, err error)
}

// links is a walk over all links, in the order of the blobs' places.
type links struct {
	*Verification
	owners map[byte]Owner
	files  files

	last    BlobID // of the link before this one
	blob    Blob   // nil: not open
	lost    error  // why it cannot be read
	missing bool   // its segment is not there
	begun   int64  // octets of the segments before the one of last
}

// Links checks every link, whether its row names the blob, and, unless it is to be quick, every linked blob.
func (v *Verification) Links(owners ...Owner) error {
	sizes, total, err := v.engine.segmentSizes()
	if err != nil {
		return err
	}
	l := &links{Verification: v, owners: map[byte]Owner{}, files: files{sizes, total, map[uint32]bool{}}}
	defer l.close()
	for _, o := range owners {
		l.owners[o.Prefix()] = o
	}
	for p, err := range v.Scan(linkPrefix, PrefixEnd(linkPrefix)) {
		if err != nil {
			return err
		}
		if err := v.Row(); err != nil {
			return err
		}
		id, owner, ok := parseLinkKey(p.Key)
		if !ok {
			v.Stray(p.Key)
			continue
		}
		if err := l.check(id, owner); err != nil {
			return err
		}
	}
	return nil
}

// check checks one link.
func (l *links) check(id BlobID, owner []byte) error {
	if id != l.last {
		l.next(id)
	}
	keeper := l.owners[owner[0]]
	value, err := l.Get(owner)
	switch {
	case errors.Is(err, ErrNotFound):
		return l.orphan(keeper, id, owner)
	case err != nil:
		return err
	case keeper == nil:
		l.stray(id, owner, "its row is of no kind that links blobs")
		return nil
	}
	switch named, ok := keeper.Blob(owner, value); {
	case !ok:
	case named != id:
		l.stray(id, owner, fmt.Sprintf("its row names blob %s", named))
	default:
		return l.body(keeper, id, owner, value)
	}
	return nil
}

// next goes on to another blob.
func (l *links) next(id BlobID) {
	if segment := id.position().segment; segment != l.last.position().segment {
		l.goTo(segment)
	}
	l.close()
	l.last, l.blob, l.lost = id, nil, nil
	l.look()
	l.sum.Blobs++
	l.sum.Octets += id.size()
}

// close closes the blob that was read last, which was only read.
func (l *links) close() {
	if l.blob != nil {
		_ = l.blob.Close()
	}
}

func (l *links) body(keeper Owner, id BlobID, owner, value []byte) error {
	if l.Quick {
		if l.missing {
			keeper.Lost(owner, value, id, ErrNotFound)
		}
		return nil
	}
	if l.blob == nil && l.lost == nil {
		l.progress(PhaseBodies, l.begun+int64(id.position().offset), l.files.total)
		l.blob, l.lost = l.engine.OpenBlob(l.ctx, id)
	}
	err := l.lost
	if err == nil {
		err = keeper.Body(owner, value, id, l.blob)
	}
	if err == nil {
		return nil
	}
	if ctxErr := l.ctx.Err(); ctxErr != nil {
		return ctxErr
	}
	if !isDamage(err) {
		return fmt.Errorf("reading blob %s: %w", id, err)
	}
	l.lost = err
	keeper.Lost(owner, value, id, err)
	return nil
}

// isDamage tells an error that says that a blob is harmed from one that would harm it if repair believed it: no right to read
// a file, say, too many open ones, or a store that is closed meanwhile.
func isDamage(err error) bool {
	for _, damage := range []error{ErrCorrupt, ErrNotFound, syscall.EIO, syscall.EBADMSG} {
		if errors.Is(err, damage) {
			return true
		}
	}
	return false
}

func (l *links) orphan(keeper Owner, id BlobID, owner []byte) error {
	if keeper != nil {
		reported, err := keeper.Orphan(owner, id)
		if reported || err != nil {
			return err
		}
	}
	l.stray(id, owner, "its row does not exist")
	return nil
}

func (l *links) stray(id BlobID, owner []byte, seen string) {
	owner = bytes.Clone(owner)
	l.Report(Finding{
		ID: "link-stray", Severity: SeverityWarning, Place: fmt.Sprintf("link of row %q to blob %s", owner, id),
		Seen: seen, Wanted: "links of rows that name their blob", Fix: "repair keeps the blob in lost+found and removes the link",
		Wreck: &Wreck{Name: fmt.Sprintf("blob-%s.eml", id), Blob: id},
		Mend:  func(tx Tx) error { tx.Unlink(id, owner); return nil },
	})
}

// files are the segments' sizes.
type files struct {
	sizes    map[uint32]int64
	total    int64
	reported map[uint32]bool // missing
}

// goTo goes on to the blobs of another segment.
func (l *links) goTo(number uint32) {
	l.begun = 0
	for n, size := range l.files.sizes {
		if n < number {
			l.begun += size
		}
	}
}

// look finds out whether the segment of the current blob is there.
func (l *links) look() {
	number := l.engine.placeOf(l.last).at.segment
	if l.missing = !l.engine.catalog.has(number); !l.missing || l.files.reported[number] {
		return
	}
	l.files.reported[number] = true
	l.Report(Finding{
		ID: "segment-missing", Severity: SeverityError, Place: segmentName(number),
		Seen: "no such file in store/blobs, although messages are in it", Wanted: "the file",
		Fix: "restore it from a backup; repair removes the messages that were in it",
	})
}
