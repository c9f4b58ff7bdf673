package backup

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strings"
	"time"
)

// Point is the state of a data folder at one moment.
type Point struct {
	Name  string    // its time; names sort as times do
	Time  time.Time // UTC, milliseconds. All that had been acknowledged before is in it
	Files []Entry
}

// Entry is a file of a point.
type Entry struct {
	Name   string      `json:"name"` // in the data folder, with slashes
	Mode   fs.FileMode `json:"mode"` // permissions
	Size   int64       `json:"size"` // octets
	Pieces []Piece     `json:"pieces"`

	// Which file it was, so that the next Add need not read what has not changed.
	Inode    uint64    `json:"inode"`
	Modified time.Time `json:"modified"`
}

// Size is how many octets the files of the point have.
func (p *Point) Size() (n int64) {
	for _, f := range p.Files {
		n += f.Size
	}
	return n
}

// A manifest is a header, an entry a line, and the sum of all that. All lines are JSON.
type manifestHeader struct {
	Format int       `json:"format"`
	Time   time.Time `json:"time"`
	Files  int       `json:"files"`
}

type manifestEnd struct {
	Sum Sum `json:"sum"`
}

// PointLayout is how a point's time becomes its name (see time.Format).
const PointLayout = "20060102T150405.000Z"

// newPoint makes the point of now.
func newPoint(now time.Time) *Point {
	now = now.UTC().Truncate(time.Millisecond)
	return &Point{Name: now.Format(PointLayout), Time: now}
}

func (p *Point) encode() ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	err := enc.Encode(manifestHeader{format, p.Time, len(p.Files)})
	for _, f := range p.Files {
		err = errors.Join(err, enc.Encode(f))
	}
	err = errors.Join(err, enc.Encode(manifestEnd{sha256.Sum256(b.Bytes())}))
	return b.Bytes(), err
}

func decodePoint(name string, b []byte) (*Point, error) {
	end := bytes.LastIndexByte(bytes.TrimSuffix(b, []byte("\n")), '\n') + 1
	var last manifestEnd
	if err := json.Unmarshal(b[end:], &last); err != nil || sha256.Sum256(b[:end]) != last.Sum {
		return nil, fmt.Errorf("%w: its content does not have the sum at its end", ErrDamaged)
	}
	dec := json.NewDecoder(bufio.NewReader(bytes.NewReader(b[:end])))
	var head manifestHeader
	if err := dec.Decode(&head); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if head.Format > format {
		return nil, fmt.Errorf("it has format %d, this candor knows up to %d: run the newer one", head.Format, format)
	}
	p := &Point{Name: name, Time: head.Time}
	for range head.Files {
		var f Entry
		if err := dec.Decode(&f); err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		p.Files = append(p.Files, f)
	}
	return p, nil
}

// Names returns the names of the points, the oldest first. One may be damaged.
func (r *Repository) Names() ([]string, error) {
	entries, err := os.ReadDir(r.path(pointsDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var names []string
	for _, e := range entries {
		if name, ok := strings.CutSuffix(e.Name(), pointSuffix); ok {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, nil
}

// Point reads a point. Errors: errors.Is ErrDamaged.
func (r *Repository) Point(name string) (*Point, error) {
	path := r.path(pointsDir, name+pointSuffix)
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	p, err := decodePoint(name, b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// At returns the newest point that is not later than t, or with the zero time the newest of all.
func (r *Repository) At(t time.Time) (*Point, error) {
	names, err := r.Names()
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, fmt.Errorf("%s holds no point", r.dir)
	}
	for _, name := range slices.Backward(names) {
		if t.IsZero() || name <= t.UTC().Format(PointLayout) {
			return r.Point(name)
		}
	}
	return nil, fmt.Errorf("%s holds no point of %s or before; the first is %s", r.dir, t.UTC().Format(time.RFC3339), names[0])
}
