package main

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// serve accepts until ctx ends. Then sessions are told, and what has been begun may end within the drain time, or
// until hurry is closed.
func (r *running) serve(ctx context.Context, hurry <-chan struct{}, ready func()) error {
	begun, cut := context.WithCancel(context.Background())
	defer context.AfterFunc(begun, r.doors.Cut)()
	ended := make(chan struct{})
	var others, watch sync.WaitGroup
	others.Go(func() {
		<-ctx.Done()
		r.drain(begun)
	})
	watch.Go(func() {
		<-ctx.Done()
		r.cutAfter(cut, hurry, ended)
	})
	err := r.doors.Serve(ctx, 0, ready)
	others.Wait()
	close(ended)
	watch.Wait()
	return err
}

// drain ends what is not a session: HTTP listeners, and deliveries by the end of begun.
func (r *running) drain(begun context.Context) {
	r.notifyStopping()
	r.changing.Lock()
	r.ending = true
	r.https.end(nil)
	r.changing.Unlock()
	r.queue.Drain(begun)
}

// cutAfter calls cut when the drain time is over, hurry is closed, or everything has ended.
func (r *running) cutAfter(cut func(), hurry, ended <-chan struct{}) {
	defer cut()
	grace := r.config().limits.drain
	r.log.Info("ending", "grace", grace)
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-ended:
	case <-timer.C:
		r.log.Warn("breaking off what has not ended within the drain time")
	case <-hurry:
		r.log.Warn("breaking off what has not ended: a second signal came")
	}
}

// catchSecond returns a channel that is closed when SIGINT or SIGTERM has come twice; a third one then ends the
// program as it would end any other.
func catchSecond() (second <-chan struct{}, stop func()) {
	signals, closed, done := make(chan os.Signal, 2), make(chan struct{}), make(chan struct{})
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		for range 2 {
			select {
			case <-signals:
			case <-done:
				return
			}
		}
		close(closed)
		signal.Reset(syscall.SIGINT, syscall.SIGTERM)
	}()
	return closed, func() {
		signal.Stop(signals)
		close(done)
	}
}
