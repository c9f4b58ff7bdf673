package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"candor/internal/server/web"
	"candor/internal/store/backup"
	"candor/internal/store/kv"
)

type backupCmd struct {
	To    string `xor:"what" required:"" help:"Add a point to this repository, which is made if the folder is absent or empty." placeholder:"DIR"`
	List  string `xor:"what" required:"" help:"List the points of a repository." placeholder:"DIR"`
	Check string `xor:"what" required:"" help:"Read a repository and verify every checksum." placeholder:"DIR"`
	Prune string `xor:"what" required:"" help:"Remove from a repository what no point needs, with --keep the oldest points too." placeholder:"DIR"`
	Keep  int    `help:"With --to and --prune: keep the newest N points, remove the others." placeholder:"N"`
	rateFlag
}

// rateFlag limits how fast files are copied.
type rateFlag struct {
	Rate string `help:"Copy at most that much a second, such as 20MiB." placeholder:"OCTETS"`
}

// throttle waits until the rate allows n octets more.
func (r rateFlag) throttle() (func(ctx context.Context, n int) error, error) {
	if r.Rate == "" {
		return nil, nil
	}
	v, err := parseOctets(r.Rate)
	if err != nil || v == 0 {
		return nil, fmt.Errorf("--rate: %q is not octets a second: write a size such as 20MiB", r.Rate)
	}
	return rate.NewLimiter(rate.Limit(v), backup.MaxPiece).WaitN, nil
}

// Run makes, lists, checks or removes points.
func (b *backupCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	if b.Keep < 0 || b.Keep > 0 && b.To == "" && b.Prune == "" {
		return errors.New("--keep takes a number of points, with --to or --prune")
	}
	switch {
	case b.To != "":
		return b.add(ctx, c, std)
	case b.List != "":
		return b.list(c, std)
	case b.Check != "":
		return b.check(ctx, c, std)
	default:
		return b.prune(ctx, c, std)
	}
}

// madePoint is what --to tells as JSON.
type madePoint struct {
	Point   string    `json:"point"`
	Time    time.Time `json:"time"`
	Files   int       `json:"files"`
	Octets  int64     `json:"octets"`
	Copied  int64     `json:"copied"` // octets
	Removed []string  `json:"removed,omitempty"`
}

func (b *backupCmd) add(ctx context.Context, c *cli, std *stdio) (err error) {
	throttle, err := b.throttle()
	if err != nil {
		return err
	}
	conf, err := loadConfig(c.Config)
	if err != nil {
		return err
	}
	if inside, err := isInside(b.To, filepath.Join(conf.Data, "store")); err != nil || inside {
		return errors.Join(err, fmt.Errorf("%s lies in the store itself: name a folder elsewhere, best on another disk", b.To))
	}
	repository, err := backup.Create(b.To)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, repository.Close()) }()
	begun := time.Now()
	checkpoint, held, err := conf.checkpoint(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, checkpoint.Release()) }()
	files, size, err := conf.backupFiles(checkpoint, std.err)
	if err != nil {
		return err
	}
	bar := newProgress(c, std, "backing up", octets, size)
	added, err := repository.Add(ctx, begun, files, backup.Options{Throttle: throttle, Progress: bar.Add, Held: held})
	bar.Close()
	if err != nil {
		return err
	}
	made := madePoint{added.Point.Name, added.Point.Time, len(added.Point.Files), added.Point.Size(), added.Copied, nil}
	if b.Keep > 0 {
		pruned, err := repository.Prune(ctx, b.Keep)
		if err != nil {
			return fmt.Errorf("the point %s is made, but removing older ones failed: %w", made.Point, err)
		}
		made.Removed = pruned.Points
	}
	if c.JSON {
		return json.NewEncoder(std.out).Encode(made)
	}
	fmt.Fprintf(std.out, "Point %s is made: %d files with %s; %s were new and copied.\n",
		made.Point, made.Files, octets.text(made.Octets), octets.text(made.Copied))
	if len(made.Removed) > 0 {
		fmt.Fprintf(std.out, "Removed: %s.\n", strings.Join(made.Removed, ", "))
	}
	return nil
}

// isInside tells whether path is dir or lies in it.
func isInside(path, dir string) (bool, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return false, err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return false, err
	}
	rel, err := filepath.Rel(dir, path)
	return err == nil && filepath.IsLocal(rel), nil
}

// checkpoint asks the running server for a checkpoint, or makes one of the store that nobody has open.
func (c *config) checkpoint(ctx context.Context) (*kv.Checkpoint, func() error, error) {
	for end := time.Now().Add(lockPatience); ; {
		client, err := web.Dial(ctx, c.socket())
		if err == nil {
			return client.Checkpoint(ctx)
		}
		still, err := kv.Still(filepath.Join(c.Data, "store"))
		if err == nil {
			return still, nil, nil
		}
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil, fmt.Errorf("%s holds no store: there is nothing to back up yet", c.Data)
		}
		if !errors.Is(err, kv.ErrLocked) || time.Now().After(end) {
			return nil, nil, err
		}
		if err := pause(ctx); err != nil {
			return nil, nil, err
		}
	}
}

// configName is the configuration's name in a point; elsewhere, the folder of files that do not stand beside it.
const (
	configName = "candor.toml"
	elsewhere  = "elsewhere"
	storeName  = "store"
)

var changes = map[kv.Change]backup.Change{kv.ChangeAny: backup.Any, kv.ChangeNever: backup.Never, kv.ChangeGrows: backup.Grows}

// backupFiles are the files of a point and their octets: the store, and what the server needs besides, the
// configuration last.
func (c *config) backupFiles(checkpoint *kv.Checkpoint, warn io.Writer) (files []backup.File, size int64, err error) {
	store := filepath.Join(c.Data, storeName)
	for _, f := range checkpoint.Files {
		files = append(files, backup.File{
			Name: storeName + "/" + f.Name, Path: filepath.Join(store, filepath.FromSlash(f.Path)), Size: f.Size,
			Change: changes[f.Change], Head: kv.SegmentHead,
		})
		size += f.Size
	}
	named := map[string]bool{}
	for _, p := range c.paths() {
		if *p == "" || *p == c.Data {
			continue
		}
		name, err := c.nameInPoint(*p)
		if err != nil {
			return nil, 0, err
		}
		if named[name] {
			continue
		}
		named[name] = true
		info, err := os.Stat(*p)
		if errors.Is(err, fs.ErrNotExist) {
			fmt.Fprintf(warn, "candor: %s, which the configuration names, does not exist and is not in the backup\n", *p)
			continue
		}
		if err != nil {
			return nil, 0, err
		}
		size += info.Size()
		files = append(files, backup.File{Name: name, Path: *p, Size: -1})
	}
	return append(files, backup.File{Name: configName, Path: c.file, Size: -1}), size, nil
}

// nameInPoint is where a file that the configuration names goes in a point: where it stands beside the
// configuration, if it does.
func (c *config) nameInPoint(path string) (string, error) {
	base, err := filepath.Abs(filepath.Dir(c.file))
	if err != nil {
		return "", err
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", err
	}
	if rel, err := filepath.Rel(base, path); err == nil && filepath.IsLocal(rel) {
		return filepath.ToSlash(rel), nil
	}
	return elsewhere + filepath.ToSlash(path), nil
}

// listedPoint is a point as --list tells it.
type listedPoint struct {
	Point   string    `json:"point"`
	Time    time.Time `json:"time,omitzero"`
	Files   int       `json:"files"`
	Octets  int64     `json:"octets"`
	Problem string    `json:"problem,omitempty"`
}

func (b *backupCmd) list(c *cli, std *stdio) (err error) {
	repository, err := backup.Open(b.List)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, repository.Close()) }()
	names, err := repository.Names()
	if err != nil {
		return err
	}
	var points []listedPoint
	for _, name := range names {
		p, err := repository.Point(name)
		switch {
		case errors.Is(err, backup.ErrDamaged):
			points = append(points, listedPoint{Point: name, Problem: err.Error()})
		case err != nil:
			return err
		default:
			points = append(points, listedPoint{name, p.Time, len(p.Files), p.Size(), ""})
		}
	}
	return list(std.out, c.JSON, points, func(p listedPoint) string {
		if p.Problem != "" {
			return p.Point + "\t" + p.Problem
		}
		return fmt.Sprintf("%s\t%d files\t%s", p.Point, p.Files, octets.text(p.Octets))
	})
}

func (b *backupCmd) check(ctx context.Context, c *cli, std *stdio) (err error) {
	repository, err := backup.Open(b.Check)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, repository.Close()) }()
	bar := newProgress(c, std, "checking", octets, 0)
	checked, err := repository.Check(ctx, bar.Grow, bar.Add)
	bar.Close()
	if err != nil {
		return err
	}
	if c.JSON {
		err = json.NewEncoder(std.out).Encode(checked)
	} else {
		for _, d := range checked.Damage {
			fmt.Fprintf(std.out, "%s\n  spoils %s\n", d.What, strings.Join(append(d.Points, d.Files...), "\n         "))
		}
		fmt.Fprintf(std.out, "%d points, %d objects with %s were read.\n", checked.Points, checked.Objects, octets.text(checked.Octets))
	}
	if n := len(checked.Damage); n > 0 {
		return errors.Join(err, fmt.Errorf("%s is damaged in %d places: remove each file that is named, then 'candor backup --to' copies again what still exists; other points stay good", b.Check, n))
	}
	return err
}

func (b *backupCmd) prune(ctx context.Context, c *cli, std *stdio) (err error) {
	repository, err := backup.OpenWriting(b.Prune)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, repository.Close()) }()
	done, err := repository.Prune(ctx, b.Keep)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(std.out).Encode(done)
	}
	fmt.Fprintf(std.out, "%d points and %d objects are removed: %s.\n", len(done.Points), done.Objects, octets.text(done.Freed))
	return nil
}
