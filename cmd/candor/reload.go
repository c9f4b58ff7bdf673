package main

import (
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"candor/internal/server/listen"
)

// catchHangups keeps SIGHUP from ending the program, and returns where it is told.
func catchHangups() chan os.Signal {
	hangups := make(chan os.Signal, 1)
	signal.Notify(hangups, syscall.SIGHUP)
	return hangups
}

// reloadOn reads configuration and certificates again at each hangup, until the function that it
// returns is called. Only the certificates take effect without a restart.
func reloadOn(hangups chan os.Signal, file string, certificates *listen.Certificates, log *slog.Logger) (stop func()) {
	done := make(chan struct{})
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			select {
			case <-done:
				return
			case <-hangups:
			}
			c, err := loadConfig(file)
			if err == nil {
				err = certificates.Reload(c.pairs())
			}
			if err != nil {
				log.Error("reload refused; the certificates in use stay", "err", err)
				continue
			}
			log.Info("certificates reloaded; other settings need a restart")
		}
	})
	return func() {
		signal.Stop(hangups)
		close(done)
		wg.Wait()
	}
}
