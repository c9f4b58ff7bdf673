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
	"slices"
	"strings"
	"time"

	"github.com/pelletier/go-toml/v2"

	"candor/internal/store/backup"
	"candor/internal/store/kv"
	"candor/internal/store/mailbox"
)

type restoreCmd struct {
	From            string `required:"" help:"Repository that 'candor backup --to' made." placeholder:"DIR"`
	To              string `required:"" help:"Folder for the configuration, keys and store: made if it is absent, else empty." placeholder:"DIR"`
	At              string `help:"Restore the newest point that is not later, such as 2026-11-21T22:28:54Z. Without it, the newest of all." placeholder:"TIME"`
	KeepUIDValidity bool   `name:"keep-uidvalidity" help:"Keep the UIDVALIDITY of mailboxes: only when nothing has happened to the mail since the point, as in a move to another machine."`
	rateFlag
}

// unfinished marks what a restore that has not ended leaves behind.
const unfinished = ".unfinished"

// restored is what the command tells.
type restored struct {
	Point     string   `json:"point"`
	Config    string   `json:"config"`
	Files     int      `json:"files"`
	Octets    int64    `json:"octets"`
	Renewed   int      `json:"renewed"` // mailboxes with a new UIDVALIDITY
	Elsewhere []string `json:"elsewhere,omitempty"`
}

// Run restores a point into an empty folder.
//
// The configuration comes first and is the last to get its name, so that no server starts on half a store; while its
// name is unfinished, the command can be run again and goes on.
func (r *restoreCmd) Run(ctx context.Context, c *cli, std *stdio) (err error) {
	at, err := parseTime(r.At)
	if err != nil {
		return err
	}
	throttle, err := r.throttle()
	if err != nil {
		return err
	}
	repository, err := backup.Open(r.From)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, repository.Close()) }()
	point, err := repository.At(at)
	if err != nil {
		return err
	}
	text, err := repository.Read(point, configName)
	if err != nil {
		return err
	}
	if err := r.prepare(point, localConfig(text)); err != nil {
		return err
	}
	bar := newProgress(c, std, "restoring "+point.Name, octets, point.Size())
	err = repository.Restore(ctx, point, r.To, place, backup.Options{Throttle: throttle, Progress: bar.Add})
	bar.Close()
	if err != nil {
		return fmt.Errorf("%w; 'candor backup --check %s' tells what else is damaged, --at chooses an earlier point", err, r.From)
	}
	done := restored{Point: point.Name, Config: filepath.Join(r.To, configName), Files: len(point.Files), Octets: point.Size()}
	for _, f := range point.Files {
		if strings.HasPrefix(f.Name, elsewhere+"/") {
			done.Elsewhere = append(done.Elsewhere, f.Name)
		}
	}
	if done.Renewed, err = r.open(ctx); err != nil {
		return err
	}
	if err := r.finish(); err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(std.out).Encode(done)
	}
	r.explain(std.out, point, done)
	return nil
}

// parseTime reads --at; empty is the zero time.
func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, backup.PointLayout} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("--at: %q is not a time: write it like %s, or as 'candor backup --list' shows it", s, time.DateOnly+"T22:28:54Z")
}

// place is where a file of a point goes while the restore is under way; "" for the configuration.
func place(name string) string {
	if rest, ok := strings.CutPrefix(name, storeName+"/"); ok {
		return storeName + unfinished + "/" + rest
	}
	if name == configName {
		return ""
	}
	return name
}

// prepare makes the folder, or takes up a restore that was broken off there.
func (r *restoreCmd) prepare(point *backup.Point, config []byte) error {
	begun := filepath.Join(r.To, configName+unfinished)
	if _, err := os.Stat(begun); errors.Is(err, fs.ErrNotExist) {
		if err := emptyFolder(r.To); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if err := writeDurably(begun, config, 0o640); err != nil {
		return err
	}
	store := filepath.Join(r.To, storeName)
	if err := os.Rename(store, store+unfinished); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	// The keys may have been opened, and the segments may be those of another point.
	if err := os.RemoveAll(filepath.Join(store+unfinished, "keys")); err != nil {
		return err
	}
	return removeStrangers(store+unfinished, point)
}

// removeStrangers removes from a store the segments that the point does not have.
func removeStrangers(store string, point *backup.Point) error {
	entries, err := os.ReadDir(filepath.Join(store, "blobs"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		name := storeName + "/blobs/" + e.Name()
		if slices.ContainsFunc(point.Files, func(f backup.Entry) bool { return f.Name == name }) {
			continue
		}
		if err := os.Remove(filepath.Join(store, "blobs", e.Name())); err != nil {
			return err
		}
	}
	return nil
}

// open sees that the store opens, and renews UIDVALIDITY, since clients have seen what was given out after the point.
func (r *restoreCmd) open(ctx context.Context) (renewed int, err error) {
	db, err := kv.Open(ctx, kv.Options{Dir: filepath.Join(r.To, storeName+unfinished)})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	mailboxes, err := mailbox.Open(ctx, db, mailbox.Options{})
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, mailboxes.Close()) }()
	if r.KeepUIDValidity {
		return 0, nil
	}
	return mailboxes.Renew(ctx)
}

// finish gives the store and then the configuration their names.
func (r *restoreCmd) finish() error {
	for _, name := range []string{storeName, configName} {
		path := filepath.Join(r.To, name)
		if err := os.Rename(path+unfinished, path); err != nil {
			return err
		}
		if err := syncFolder(r.To); err != nil {
			return err
		}
	}
	return syncFolder(filepath.Dir(filepath.Clean(r.To)))
}

// localConfig is a configuration whose data lie beside it. What cannot be read as one stays as it is.
func localConfig(text []byte) []byte {
	var c struct {
		Data string `toml:"data"`
	}
	if err := toml.Unmarshal(text, &c); err != nil || filepath.Clean(c.Data) == "." {
		return text
	}
	lines := strings.SplitAfter(string(text), "\n")
	if n := positions(text)["data"]; n > 0 {
		lines[n-1] = "data = \".\"  # was " + fmt.Sprintf("%q", c.Data) + " when it was backed up\n"
		return []byte(strings.Join(lines, ""))
	}
	return append([]byte("data = \".\"\n"), text...)
}

func (r *restoreCmd) explain(w io.Writer, point *backup.Point, done restored) {
	fmt.Fprintf(w, "The state of %s is restored to %s: %d files with %s, all verified; the store opens.\n",
		point.Time.Format("2006-01-02 15:04:05.000 UTC"), r.To, done.Files, octets.text(done.Octets))
	if r.KeepUIDValidity {
		fmt.Fprint(w, "UIDVALIDITY is kept. If mail has come or gone since the point, run this again without --keep-uidvalidity.\n")
	} else {
		fmt.Fprintf(w, "%d mailboxes have a new UIDVALIDITY: mail programs will fetch their mail again.\n", done.Renewed)
	}
	if len(done.Elsewhere) > 0 {
		fmt.Fprintf(w, "These files stood elsewhere; put them back under the rest of their names, or change %s:\n", configName)
		for _, name := range done.Elsewhere {
			fmt.Fprintf(w, "  %s\n", filepath.Join(r.To, name))
		}
	}
	fmt.Fprint(w, "Messages that were queued then are sent when the server starts, even if they were sent since.\n\nNext:\n")
	if os.Geteuid() == 0 {
		fmt.Fprintf(w, "  chown -R <user of the server> %s   # everything belongs to root now\n", r.To)
	}
	fmt.Fprintf(w, "  candor queue list --config %s\n  candor serve --config %s\n", done.Config, done.Config)
}

// writeDurably writes a whole file and its name.
func writeDurably(path string, b []byte, mode fs.FileMode) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mode)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
