package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"

	"candor/internal/message"
	"candor/internal/server/web"
	"candor/internal/store/kv"
)

type verifyCmd struct {
	Quick bool `help:"Look at the rows only; read no message."`
}

// verifier checks a store: that of a running server, or the one in the data folder.
type verifier interface {
	Verify(context.Context, kv.VerifyOptions) (kv.Verified, error)
	io.Closer
}

// bareStore is the store in the data folder without the parts that stand on it, which change it when they are opened.
type bareStore struct {
	*kv.Engine
	limits message.Limits
}

// openBareStore opens the store of a server that does not run. With acceptLoss it may lack its newest messages.
func openBareStore(ctx context.Context, c *config, acceptLoss bool) (bareStore, error) {
	dir := filepath.Join(c.Data, "store")
	if _, err := os.Stat(dir); err != nil { // opening it would make it
		return bareStore{}, fmt.Errorf("no store: %w; does data in %s name the right folder?", err, c.file)
	}
	memory := c.limits.shares()
	db, err := kv.Open(ctx, kv.Options{
		Dir: dir, Log: newLog(io.Discard), Cache: memory.cache, Buffers: memory.blobs, CollectInterval: math.MaxInt64,
		AcceptLoss: acceptLoss,
	})
	return bareStore{db, c.limits.reading()}, err
}

// Verify implements verifier.
func (s bareStore) Verify(ctx context.Context, o kv.VerifyOptions) (kv.Verified, error) {
	return web.VerifyStore(ctx, s.Engine, s.limits, o)
}

// reading are the limits with which messages are read when they come in.
func (l *limits) reading() message.Limits {
	return message.Limits{Header: int(l.headerSize), Depth: int(l.mimeDepth), Parts: int(l.mimeParts)}
}

// Run verifies, and fails when there is something to mend.
func (v *verifyCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	conf, err := loadConfig(c.Config)
	if err != nil {
		return notRun(err)
	}
	store, err := reach(ctx, conf,
		func(client *web.Client) verifier { return client },
		func() (verifier, error) { return openBareStore(ctx, conf, false) })
	if err != nil {
		return notRun(err)
	}
	sum, err := v.verify(ctx, c, std, store)
	if err := errors.Join(err, store.Close()); err != nil {
		return notRun(err)
	}
	if !sum.Clean() {
		return fmt.Errorf("%d errors, %d warnings: stop the server and run 'candor repair', or restore a backup", sum.Errors, sum.Warnings)
	}
	return nil
}

// verify prints each finding as it is found.
func (v *verifyCmd) verify(ctx context.Context, c *cli, std *stdio, store verifier) (kv.Verified, error) {
	out := newFindings(c, std)
	bar := newPhases(c, std)
	sum, err := store.Verify(ctx, kv.VerifyOptions{Quick: v.Quick, Report: out.print, Progress: bar.show})
	bar.close()
	if err != nil {
		return sum, err
	}
	return sum, out.end(sum)
}

// findings prints findings one by one: as lines, or as the list in one JSON object.
type findings struct {
	out  io.Writer
	json bool
	n    int
	err  error
}

func newFindings(c *cli, std *stdio) *findings {
	f := &findings{out: std.out, json: c.JSON}
	if f.json {
		f.write("{\"findings\":[")
	}
	return f
}

func (f *findings) write(s string) {
	if f.err == nil {
		_, f.err = io.WriteString(f.out, s)
	}
}

func (f *findings) print(finding kv.Finding) {
	f.n++
	if !f.json {
		f.write(finding.String() + "\n")
		return
	}
	if f.n > 1 {
		f.write(",")
	}
	text, err := json.Marshal(finding)
	f.err = errors.Join(f.err, err)
	f.write("\n" + string(text))
}

// end sums up.
func (f *findings) end(sum kv.Verified) error {
	if !f.json {
		f.write(fmt.Sprintf("Looked at %d rows and %d bodies in %d files: %d errors, %d warnings, %d notes.\n",
			sum.Rows, sum.Blobs, sum.Segments, sum.Errors, sum.Warnings, sum.Notes))
		return f.err
	}
	text, err := json.Marshal(sum)
	f.write(fmt.Sprintf("],\n\"clean\":%v,%s\n", sum.Clean(), text[1:]))
	return errors.Join(f.err, err)
}

// phases show the progress of a verification, each phase with its own bar.
type phases struct {
	c     *cli
	std   *stdio
	phase kv.Phase
	bar   *progress
	done  int64
}

func newPhases(c *cli, std *stdio) *phases { return &phases{c: c, std: std} }

// show is a kv.VerifyOptions.Progress.
func (p *phases) show(phase kv.Phase, done, total int64) {
	if p.bar == nil || phase != p.phase {
		p.close()
		label, unit := "checking rows", things
		if phase == kv.PhaseBodies {
			label, unit = "reading messages", octets
		}
		p.phase, p.done, p.bar = phase, 0, newProgress(p.c, p.std, label, unit, total)
	}
	p.bar.Add(done - p.done)
	p.done = done
}

func (p *phases) close() {
	if p.bar != nil {
		p.bar.Close()
		p.bar = nil
	}
}
