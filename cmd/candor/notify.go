package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"candor/internal/store/kv"
)

// notify tells a service manager about the server (sd_notify(3)). Without one it does nothing.
func (r *running) notify(lines ...string) {
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		r.log.Warn("telling the service manager", "err", err)
	}
}

func (r *running) notifyServing() {
	c := r.config()
	text := fmt.Sprintf("STATUS=Serving %s with %d listeners", c.hostname, len(c.Listeners))
	r.mu.Lock()
	if f := r.failed; f != nil {
		text += "; the last reload was refused: " + strings.ReplaceAll(f.Text, "\n", " ")
	}
	r.mu.Unlock()
	r.notify("READY=1", text)
}

func (r *running) notifyReloading() {
	var now unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_MONOTONIC, &now); err != nil {
		r.log.Warn("telling the service manager", "err", err)
		return
	}
	r.notify("RELOADING=1", fmt.Sprintf("MONOTONIC_USEC=%d", now.Nano()/1000), "STATUS=Reading the configuration")
}

func (r *running) notifyStopping() {
	r.notify("STOPPING=1", "STATUS=Letting sessions and deliveries end")
}

// watchdog tells the service manager, if it asks for that, that the server is healthy, until the function that it
// returns is called.
func (r *running) watchdog() (stop func()) {
	interval, err := daemon.SdWatchdogEnabled(false)
	if err != nil {
		r.log.Warn("telling the service manager", "err", err)
	}
	if interval <= 0 {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() {
		for tick := time.NewTicker(interval / 3); ; {
			if err := r.healthy(ctx, interval/3); err == nil {
				r.notify("WATCHDOG=1")
			} else if ctx.Err() == nil {
				r.log.Error("health check failed", "err", err)
			}
			select {
			case <-ctx.Done():
				tick.Stop()
				return
			case <-tick.C:
			}
		}
	})
	return func() {
		cancel()
		wg.Wait()
	}
}

// healthy reports what is wrong: the store does not answer a read in time, or a listener does not accept.
func (r *running) healthy(ctx context.Context, within time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	answer := make(chan error, 1)
	go func() {
		err := r.db.View(ctx, func(tx kv.Reader) error {
			for _, err := range tx.Scan([]byte{0}, []byte{0xff}) {
				return err
			}
			return nil
		})
		if err == nil {
			err = r.doors.Healthy()
		}
		answer <- err
	}()
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return fmt.Errorf("no answer: %w", ctx.Err())
	}
}
