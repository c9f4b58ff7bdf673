package backup

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
)

// Sum names an object.
type Sum [sha256.Size]byte

func (s Sum) String() string { return hex.EncodeToString(s[:]) }

// MarshalText implements encoding.TextMarshaler.
func (s Sum) MarshalText() ([]byte, error) { return hex.AppendEncode(nil, s[:]), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Sum) UnmarshalText(text []byte) error {
	if len(text) != 2*len(s) {
		return fmt.Errorf("a sum has %d digits, not %d", 2*len(s), len(text))
	}
	_, err := hex.Decode(s[:], text)
	return err
}

// Piece is a stretch of a file that is kept as one object.
type Piece struct {
	Sum  Sum   `json:"sum"`
	Size int64 `json:"size"` // octets
}

// MaxPiece is the greatest size of a piece, in octets.
const MaxPiece = 4 << 20

func (r *Repository) objectPath(s Sum) string {
	name := s.String()
	return r.path(objectsDir, name[:2], name)
}

// has tells whether the object is there, as far as its size shows.
func (r *Repository) has(p Piece) bool {
	info, err := os.Stat(r.objectPath(p.Sum))
	return err == nil && info.Size() == p.Size
}

// put keeps b as an object, and tells whether it had to be written.
func (r *Repository) put(b []byte) (p Piece, written bool, err error) {
	p = Piece{Sum: sha256.Sum256(b), Size: int64(len(b))}
	name := p.Sum.String()
	dir := r.path(objectsDir, name[:2])
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return p, false, r.explain(err)
	}
	// An Add that was killed may have left names that are not durable.
	r.dirty[r.path(objectsDir)], r.dirty[dir] = true, true
	if r.has(p) {
		return p, false, nil
	}
	if err := r.place(b, objectsDir, name[:2], name); err != nil {
		return p, false, r.explain(fmt.Errorf("writing an object: %w", err))
	}
	return p, true, nil
}

// ErrDamaged is returned for an object or a manifest that is missing or not what was written.
var ErrDamaged = errors.New("backup: the repository is damaged")

// get returns an object after it has verified it. It uses buffer when that is big enough.
func (r *Repository) get(p Piece, buffer []byte) ([]byte, error) {
	if p.Size < 0 || p.Size > MaxPiece {
		return nil, fmt.Errorf("%w: a piece of %d octets", ErrDamaged, p.Size)
	}
	path := r.objectPath(p.Sum)
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("%w: %s is missing", ErrDamaged, path)
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := readAll(f, buffer)
	if err != nil {
		return nil, fmt.Errorf("%w: reading %s: %w", ErrDamaged, path, err)
	}
	if int64(len(b)) != p.Size || sha256.Sum256(b) != p.Sum {
		return nil, fmt.Errorf("%w: the content of %s does not have the sum that is its name", ErrDamaged, path)
	}
	return b, nil
}

// readAll reads a file of at most MaxPiece octets, and one octet of a greater one more.
func readAll(f *os.File, buffer []byte) ([]byte, error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	n := int(min(info.Size(), MaxPiece+1))
	if cap(buffer) < n {
		buffer = make([]byte, n)
	}
	buffer = buffer[:n]
	_, err = f.ReadAt(buffer, 0)
	if n == 0 {
		return buffer, nil
	}
	return buffer, err
}
