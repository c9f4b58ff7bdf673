package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"candor/internal/server/web"
)

type reloadCmd struct{}

// Run makes the running server read its configuration and certificates again.
func (*reloadCmd) Run(ctx context.Context, c *cli, std *stdio) error {
	server, err := web.Dial(ctx, likelySocket(c.Config))
	if err != nil {
		return fmt.Errorf("no server answers: it is not running, or data in %s is not its folder: %w", c.Config, err)
	}
	defer server.Close()
	loaded, err := server.Reload(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		return json.NewEncoder(std.out).Encode(map[string]time.Time{"loaded": loaded})
	}
	fmt.Fprintln(std.out, "The configuration and the certificates have been read again and are in force.")
	return nil
}

// catchHangups keeps SIGHUP from ending the program, and returns where it is told.
func catchHangups() chan os.Signal {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	return hangups
}

// reloadOn reloads at each hangup, until the function that it returns is called.
func (r *running) reloadOn(hangups chan os.Signal) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-hangups:
				_, _ = r.reload() // it has logged what happened
			}
		}
	})
	return func() {
		signal.Stop(hangups)
		close(done)
		wg.Wait()
	}
}
