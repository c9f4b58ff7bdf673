package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"candor/internal/server/web"
	"candor/internal/store/kv"
)

type repairCmd struct {
	Quick  bool `help:"Look at the rows only; read no message."`
	DryRun bool `help:"Say what would be done, and do nothing."`

	AcceptLoss bool `help:"Give up messages whose files are missing, the newest ones among them: no backup has them."`
}

// Run mends what can be mended, in passes: what follows from one thing that was mended is found in the next.
func (r *repairCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	conf, err := loadConfig(c.Config)
	if err != nil {
		return notRun(err)
	}
	if client, err := web.Dial(ctx, conf.socket()); err == nil {
		return notRun(errors.Join(errors.New("the server is running: stop it, then repair"), client.Close()))
	}
	store, err := openBareStore(ctx, conf, r.AcceptLoss)
	if err != nil {
		return notRun(err)
	}
	var sum kv.Verified
	if r.DryRun {
		sum, err = (&verifyCmd{Quick: r.Quick}).verify(ctx, c, std, store)
	} else {
		sum, err = r.repair(ctx, c, std, store, filepath.Join(conf.Data, "lost+found"))
	}
	if err := errors.Join(err, store.Close()); err != nil {
		return notRun(err)
	}
	if r.DryRun && !sum.Clean() {
		return fmt.Errorf("nothing was changed: %d errors, %d warnings", sum.Errors, sum.Warnings)
	}
	if !sum.Clean() {
		return fmt.Errorf("%d errors, %d warnings are left: restore a backup", sum.Errors, sum.Warnings)
	}
	return nil
}

func (r *repairCmd) repair(ctx context.Context, c *cli, std *stdio, store bareStore, dir string) (kv.Verified, error) {
	out, bar, lost := newFindings(c, std), newPhases(c, std), &lostAndFound{store: store.Engine, root: dir}
	sum, err := web.RepairStore(ctx, store.Engine, store.limits, kv.RepairOptions{
		VerifyOptions: kv.VerifyOptions{Quick: r.Quick, Report: out.print, Progress: bar.show},
		Save:          func(f kv.Finding) error { return lost.save(ctx, f) },
		Keep:          lost.keep,
		Mended:        lost.mended,
	})
	bar.close()
	err = errors.Join(err, lost.close())
	if lost.dir != "" {
		fmt.Fprintf(std.err, "What was taken out of the store, and a report, are in %s\n", lost.dir)
	}
	if err != nil {
		return sum, err
	}
	return sum, out.end(sum)
}

// lostAndFound keeps what repair takes out of the store, in a folder of its own that is made at the first thing: wrecks
// of messages, each row as it was (rows.jsonl), and what was done about which finding (report.jsonl).
type lostAndFound struct {
	store  *kv.Engine
	root   string
	dir    string
	rows   *os.File
	report *os.File
}

func (l *lostAndFound) open() (err error) {
	if l.dir != "" {
		return nil
	}
	dir := filepath.Join(l.root, time.Now().UTC().Format("20060102T150405.000Z"))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	const flags = os.O_WRONLY | os.O_CREATE | os.O_APPEND
	if l.rows, err = os.OpenFile(filepath.Join(dir, "rows.jsonl"), flags, 0o600); err != nil {
		return err
	}
	l.dir = dir
	if l.report, err = os.OpenFile(filepath.Join(dir, "report.jsonl"), flags, 0o600); err != nil {
		return err
	}
	return errors.Join(syncFolder(dir), syncFolder(l.root), syncFolder(filepath.Dir(l.root)))
}

// save writes a wreck into a file.
func (l *lostAndFound) save(ctx context.Context, f kv.Finding) error {
	if err := l.open(); err != nil {
		return err
	}
	file, err := os.OpenFile(filepath.Join(l.dir, f.Wreck.Name), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = file.Write(f.Wreck.Prefix)
	if err == nil {
		err = l.store.Salvage(ctx, f.Wreck.Blob, file)
	}
	if err == nil {
		err = file.Sync()
	}
	return errors.Join(err, file.Close(), syncFolder(l.dir))
}

// keep writes a row as it is before it is changed or removed.
func (l *lostAndFound) keep(f kv.Finding, key, value []byte) error {
	if err := l.open(); err != nil {
		return err
	}
	return appendLine(l.rows, struct {
		ID    string `json:"id"`
		Place string `json:"place"`
		Key   []byte `json:"key"`
		Value []byte `json:"value"`
	}{f.ID, f.Place, key, value})
}

// mended notes what was done.
func (l *lostAndFound) mended(f kv.Finding, outcome error) error {
	if errors.Is(outcome, kv.ErrLater) {
		return nil // the next pass tells
	}
	if err := l.open(); err != nil {
		return err
	}
	line := struct {
		kv.Finding
		File  string `json:"file,omitempty"`
		Error string `json:"error,omitempty"`
	}{Finding: f}
	if f.Wreck != nil {
		line.File = f.Wreck.Name
	}
	if outcome != nil {
		line.Error = outcome.Error()
	}
	return appendLine(l.report, line)
}

// appendLine writes a line of JSON that is durable on return.
func appendLine(f *os.File, v any) error {
	line, err := json.Marshal(v)
	if err == nil {
		_, err = f.Write(append(line, '\n'))
	}
	if err == nil {
		err = f.Sync()
	}
	return err
}

func (l *lostAndFound) close() error {
	if l.dir == "" {
		return nil
	}
	return errors.Join(l.rows.Close(), l.report.Close())
}
