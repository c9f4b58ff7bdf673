package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
	"time"
)

// Change says how a file changes from one point to the next.
type Change int

const (
	// Any: the file is read each time.
	Any Change = iota
	// Never: the file with the same inode, time of change and size has the same content.
	Never
	// Grows: as Never, but that octets are added, and that the first File.Head of them change.
	Grows
)

// File is a file that goes into a point.
type File struct {
	Name   string // in the data folder, with slashes
	Path   string // where it is read
	Size   int64  // octets that count; -1: all
	Change Change
	Head   int64 // of a file that grows
}

// Options say how to copy.
type Options struct {
	Throttle func(ctx context.Context, n int) error // called before n octets are copied; nil: no limit
	Progress func(n int64)                          // told octets that are done; nil: not told
	// Held is asked when everything has been copied: an error means that the files may have changed under the
	// copy, and there will be no point. Nil: they cannot.
	Held func() error
}

// Added says what Add did.
type Added struct {
	Point   *Point
	Objects int   // written
	Copied  int64 // octets written, without the manifest
	Read    int64 // octets read of the files
}

// Add makes a point of files, as of the time now. After an error there is no point; what was copied is not copied
// again by the next Add.
func (r *Repository) Add(ctx context.Context, now time.Time, files []File, o Options) (Added, error) {
	before, err := r.latest()
	if err != nil {
		return Added{}, err
	}
	point := newPoint(now)
	if err := r.mayFollow(point); err != nil {
		return Added{}, err
	}
	a := &adding{ctx: ctx, repository: r, options: o, buffer: make([]byte, MaxPiece), done: Added{Point: point}}
	for _, f := range files {
		entry, err := a.add(f, before[f.Name])
		if err != nil {
			return Added{}, fmt.Errorf("backing up %s: %w", f.Name, err)
		}
		a.done.Point.Files = append(a.done.Point.Files, entry)
	}
	if o.Held != nil {
		if err := o.Held(); err != nil {
			return Added{}, err
		}
	}
	return a.done, r.explain(r.write(a.done.Point))
}

// mayFollow refuses a point that is not the newest: to restore the newest point would then not mean the last one made.
func (r *Repository) mayFollow(p *Point) error {
	names, err := r.Names()
	if err != nil || len(names) == 0 || names[len(names)-1] < p.Name {
		return err
	}
	last := names[len(names)-1]
	return fmt.Errorf("%s holds a point of %s, and now it is %s: set the clock, or if it was wrong then, remove %s",
		r.dir, last, p.Name, r.path(pointsDir, last+pointSuffix))
}

// latest returns the files of the newest point that can be read. A damaged one only costs reading.
func (r *Repository) latest() (map[string]Entry, error) {
	names, err := r.Names()
	if err != nil {
		return nil, err
	}
	for _, name := range slices.Backward(names) {
		p, err := r.Point(name)
		if errors.Is(err, ErrDamaged) {
			continue
		}
		if err != nil {
			return nil, err
		}
		files := make(map[string]Entry, len(p.Files))
		for _, f := range p.Files {
			files[f.Name] = f
		}
		return files, nil
	}
	return nil, nil
}

// write makes the objects' names durable and then the manifest.
func (r *Repository) write(p *Point) error {
	if err := r.syncDirty(); err != nil {
		return err
	}
	b, err := p.encode()
	if err != nil {
		return err
	}
	if err := r.place(b, pointsDir, p.Name+pointSuffix); err != nil {
		return fmt.Errorf("writing the manifest: %w", err)
	}
	return r.syncDirty()
}

// adding is an Add under way.
type adding struct {
	ctx        context.Context
	repository *Repository
	options    Options
	buffer     []byte
	done       Added
}

// add copies what is new of a file.
func (a *adding) add(f File, before Entry) (Entry, error) {
	file, err := os.Open(f.Path)
	if err != nil {
		return Entry{}, err
	}
	defer file.Close()
	e, err := describe(file, f)
	if err != nil {
		return Entry{}, err
	}
	kept := a.kept(f, e, before)
	e.Pieces = kept
	at := total(kept)
	a.progress(at)
	for at < e.Size {
		n := cut(f, at, e.Size)
		p, err := a.copy(file, at, n)
		if err != nil {
			return Entry{}, err
		}
		e.Pieces = append(e.Pieces, p)
		at += n
	}
	if f.Change == Grows && len(kept) > 0 && e.Size > 0 {
		if e.Pieces[0], err = a.copy(file, 0, kept[0].Size); err != nil {
			return Entry{}, err
		}
	}
	return e, nil
}

// describe begins the entry of an open file.
func describe(file *os.File, f File) (Entry, error) {
	info, err := file.Stat()
	if err != nil {
		return Entry{}, err
	}
	if !info.Mode().IsRegular() {
		return Entry{}, errors.New("it is not a file")
	}
	e := Entry{Name: f.Name, Mode: info.Mode().Perm(), Size: f.Size, Modified: info.ModTime().UTC()}
	if f.Size < 0 {
		e.Size = info.Size()
	}
	if s, ok := info.Sys().(*syscall.Stat_t); ok {
		e.Inode = s.Ino
	}
	return e, nil
}

// kept returns the pieces at the beginning of the file that the point before has.
func (a *adding) kept(f File, now, before Entry) []Piece {
	if f.Change == Any || now.Inode == 0 || now.Inode != before.Inode {
		return nil
	}
	pieces := slices.Clone(before.Pieces)
	switch {
	case now.Size == before.Size && now.Modified.Equal(before.Modified):
	case f.Change == Grows && now.Size > before.Size:
		pieces = join(pieces)
	default:
		return nil
	}
	for _, p := range pieces {
		if !a.repository.has(p) {
			return nil
		}
	}
	return pieces
}

// copy keeps n octets of file as an object.
func (a *adding) copy(file *os.File, at, n int64) (Piece, error) {
	if err := a.ctx.Err(); err != nil {
		return Piece{}, err
	}
	b := a.buffer[:n]
	if _, err := file.ReadAt(b, at); err != nil {
		return Piece{}, fmt.Errorf("reading at %d: %w", at, err)
	}
	if o := a.options; o.Throttle != nil {
		if err := o.Throttle(a.ctx, int(n)); err != nil {
			return Piece{}, err
		}
	}
	p, written, err := a.repository.put(b)
	if err != nil {
		return Piece{}, err
	}
	a.done.Read += n
	if written {
		a.done.Objects++
		a.done.Copied += n
	}
	a.progress(n)
	return p, nil
}

func (a *adding) progress(n int64) {
	if a.options.Progress != nil {
		a.options.Progress(n)
	}
}

// Files that may become anything are cut finely: what is added to a log costs no more than that.
const (
	finePiece = 256 << 10
	// maxParts is how many pieces may stand where there could be one, because a file grew from point to point.
	maxParts = 8
)

// cut returns the size of the piece that begins at an offset. Pieces end at multiples of their size, so that the
// same file gives the same pieces.
func cut(f File, at, size int64) int64 {
	piece := int64(MaxPiece)
	if f.Change == Any {
		piece = finePiece
	}
	if f.Change == Grows && at < f.Head {
		piece = f.Head
	}
	return min(piece-at%piece, size-at)
}

// join drops the last pieces of a file that has grown when they have become too many; they are then read again as
// one.
func join(pieces []Piece) []Piece {
	at := total(pieces)
	begin := at - at%MaxPiece
	n := len(pieces)
	for n > 1 && at-pieces[n-1].Size >= begin {
		n--
		at -= pieces[n].Size
	}
	if len(pieces)-n < maxParts {
		return pieces
	}
	return pieces[:n]
}

func total(pieces []Piece) (n int64) {
	for _, p := range pieces {
		n += p.Size
	}
	return n
}
