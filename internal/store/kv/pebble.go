package kv

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"syscall"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/bloom"
)

const (
	memTableSize = 8 << 20 // bounds what is read again after a crash
	maxOpenFiles = 512
	bloomBits    = 10
	defaultCache = 64 << 20
)

func (e *Engine) pebbleOptions(cache int64) *pebble.Options {
	o := &pebble.Options{
		FS:                 e.disk,
		Lock:               e.lock,
		FormatMajorVersion: pebble.FormatTableFormatV6,
		MemTableSize:       memTableSize,
		CacheSize:          cache,
		MaxOpenFiles:       maxOpenFiles,

		MemTableStopWritesThreshold: stopMultiplier * mostInMemory / memTableSize,
		L0StopWritesThreshold:       stopMultiplier * mostSublevels,

		Logger: pebbleLogger{e},
		EventListener: &pebble.EventListener{
			BackgroundError: func(err error) { e.log.Warn("the store's background work failed and is tried again", "err", err) },
			WriteStallBegin: e.stalled,
			WriteStallEnd:   func() { e.stall.Load().Stop() },
		},
	}
	for i := range o.Levels {
		o.Levels[i].FilterPolicy = bloom.FilterPolicy(bloomBits)
	}
	return o
}

// stalled is called when Pebble stops a commit, which happens when great transactions come all at once. If it goes on for
// long the store has failed: nobody can be called back from there.
func (e *Engine) stalled(info pebble.WriteStallBeginInfo) {
	e.stats.stalls.Add(1)
	e.stall.Store(time.AfterFunc(stallPatience, func() {
		e.disk.fail(fmt.Errorf("the key engine has taken no writes for %v: %s", stallPatience, info.Reason))
	}))
}

// pebbleLogger takes what Pebble says. Pebble ends the process when it says something fatal; this
// marks the store as failed, which nothing gets past.
type pebbleLogger struct{ engine *Engine }

func (l pebbleLogger) Infof(format string, args ...any) {
	if l.engine.log.Enabled(context.Background(), slog.LevelDebug) {
		l.engine.log.Debug("pebble: " + fmt.Sprintf(format, args...))
	}
}

func (l pebbleLogger) Errorf(format string, args ...any) {
	l.engine.log.Warn("pebble: " + fmt.Sprintf(format, args...))
}

func (l pebbleLogger) Fatalf(format string, args ...any) {
	l.engine.disk.fail(fmt.Errorf("pebble: "+format, args...))
}

func isLockErrno(err error) bool {
	return errors.Is(err, syscall.EAGAIN) || errors.Is(err, syscall.EACCES)
}
