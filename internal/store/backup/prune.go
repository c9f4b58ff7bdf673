package backup

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// Pruned says what Prune removed.
type Pruned struct {
	Points  []string `json:"points"`
	Objects int      `json:"objects"`
	Freed   int64    `json:"freed"` // octets
}

// Prune removes all points but the newest keep, with 0 none, and then every object that no point needs. The points
// go first and durably: a Prune that is killed leaves objects too many, never too few, and can be run again.
func (r *Repository) Prune(ctx context.Context, keep int) (Pruned, error) {
	var done Pruned
	names, err := r.Names()
	if err != nil {
		return done, err
	}
	if keep > 0 && len(names) > keep {
		done.Points = names[:len(names)-keep]
		names = names[len(names)-keep:]
	}
	needed, err := r.needed(names)
	if err != nil {
		return Pruned{}, err
	}
	for _, name := range done.Points {
		if err := os.Remove(r.path(pointsDir, name+pointSuffix)); err != nil {
			return done, err
		}
	}
	if err := syncDir(r.path(pointsDir)); err != nil {
		return done, err
	}
	err = r.sweep(ctx, needed, &done)
	return done, err
}

// needed returns the objects of the points.
func (r *Repository) needed(names []string) (map[Sum]bool, error) {
	needed := map[Sum]bool{}
	for _, name := range names {
		p, err := r.Point(name)
		if errors.Is(err, ErrDamaged) {
			return nil, fmt.Errorf("nothing is pruned, since what this point needs is not known; remove its file to give it up: %w", err)
		}
		if err != nil {
			return nil, err
		}
		for _, f := range p.Files {
			for _, piece := range f.Pieces {
				needed[piece.Sum] = true
			}
		}
	}
	return needed, nil
}

// sweep removes the objects that are not needed.
func (r *Repository) sweep(ctx context.Context, needed map[Sum]bool, done *Pruned) error {
	return r.objects(ctx, func(s Sum, size int64) error {
		if needed[s] {
			return nil
		}
		if err := os.Remove(r.objectPath(s)); err != nil {
			return err
		}
		done.Objects++
		done.Freed += size
		return nil
	})
}

// objects calls f for each object that is there.
func (r *Repository) objects(ctx context.Context, f func(s Sum, size int64) error) error {
	dirs, err := os.ReadDir(r.path(objectsDir))
	if err != nil {
		return err
	}
	for _, dir := range dirs {
		entries, err := os.ReadDir(r.path(objectsDir, dir.Name()))
		if err != nil {
			return err
		}
		for _, e := range entries {
			var s Sum
			if s.UnmarshalText([]byte(e.Name())) != nil {
				continue // not ours
			}
			info, err := e.Info()
			if err == nil {
				err = f(s, info.Size())
			}
			if err := errors.Join(err, ctx.Err()); err != nil {
				return err
			}
		}
	}
	return nil
}
