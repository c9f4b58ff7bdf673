package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Damage is something in the repository that is missing or not what was written, and what it spoils.
type Damage struct {
	What   string   `json:"what"`            // in words, with the path
	Points []string `json:"points"`          // that cannot be restored whole
	Files  []string `json:"files,omitempty"` // of those points, with the octets that are lost
}

// Checked says what Check looked at.
type Checked struct {
	Points  int      `json:"points"`
	Objects int      `json:"objects"`
	Octets  int64    `json:"octets"`
	Damage  []Damage `json:"damage"`
}

// Check reads every manifest and every object that a point needs, each once, and verifies their sums. Grow is told
// the octets to read as soon as they are known.
func (r *Repository) Check(ctx context.Context, grow, progress func(n int64)) (Checked, error) {
	var done Checked
	names, err := r.Names()
	if err != nil {
		return done, err
	}
	pieces := map[Sum]int64{}
	err = r.each(names, func(p *Point, err error) {
		if err != nil {
			done.Damage = append(done.Damage, Damage{What: err.Error(), Points: []string{p.Name}})
			return
		}
		done.Points++
		for _, f := range p.Files {
			for _, piece := range f.Pieces {
				if _, known := pieces[piece.Sum]; !known {
					pieces[piece.Sum] = piece.Size
					grow(piece.Size)
				}
			}
		}
	})
	if err != nil {
		return done, err
	}
	bad := map[Sum]*Damage{}
	buffer := make([]byte, MaxPiece)
	for s, size := range pieces {
		if err := ctx.Err(); err != nil {
			return done, err
		}
		if _, err := r.get(Piece{s, size}, buffer); errors.Is(err, ErrDamaged) {
			bad[s] = &Damage{What: err.Error()}
		} else if err != nil {
			return done, err
		}
		done.Objects++
		done.Octets += size
		progress(size)
	}
	if len(bad) == 0 {
		return done, nil
	}
	err = r.each(names, func(p *Point, err error) {
		if err == nil {
			p.spoiled(bad)
		}
	})
	for _, d := range bad {
		done.Damage = append(done.Damage, *d)
	}
	slices.SortFunc(done.Damage, func(a, b Damage) int { return strings.Compare(a.What, b.What) })
	return done, err
}

// each calls f for every point; for a damaged one with the damage and a point that has only a name.
func (r *Repository) each(names []string, f func(*Point, error)) error {
	for _, name := range names {
		p, err := r.Point(name)
		switch {
		case errors.Is(err, ErrDamaged):
			f(&Point{Name: name}, err)
		case err != nil:
			return err
		default:
			f(p, nil)
		}
	}
	return nil
}

// spoiled notes with each bad object what it spoils in the point.
func (p *Point) spoiled(bad map[Sum]*Damage) {
	for _, f := range p.Files {
		at := int64(0)
		for _, piece := range f.Pieces {
			if d := bad[piece.Sum]; d != nil {
				if n := len(d.Points); n == 0 || d.Points[n-1] != p.Name {
					d.Points = append(d.Points, p.Name)
				}
				d.Files = append(d.Files, fmt.Sprintf("%s: %s, octets %d to %d", p.Name, f.Name, at, at+piece.Size))
			}
			at += piece.Size
		}
	}
}
